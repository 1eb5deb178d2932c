"""Processor time counts what policies do, not what they import: an import that comes late would be one policy's in its first run alone."""

import json
import subprocess
import sys

import numpy as np
import pytest

from bench.regret.run import policies, wheels
from training.config.settings import ROOT

COLD = """
import json, sys
from bench.regret import run
from bench.regret.problem import wheel

late, play = {}, run.play

def watched(problem, make, seed):
    before = set(sys.modules)
    found = play(problem, make, seed)
    late[name] = sorted(set(sys.modules) - before)
    return found

run.play = watched
for name in run.policies():
    run.wheels(0.5, 40, 1, name)
print(json.dumps(late))
"""


def test_nothing_is_imported_while_the_clock_runs():
    """By any policy, in a process that has played none before: peers import their libraries when they are made, NeuralTS a part of torch when it learns."""
    found = subprocess.run([sys.executable, "-c", COLD], cwd=ROOT, capture_output=True, text=True, check=True, timeout=300)
    late = json.loads(found.stdout)
    assert set(late) == set(policies())
    assert {name: modules[:3] for name, modules in late.items() if modules} == {}


@pytest.mark.parametrize("name", sorted(policies()))
def test_what_is_played_before_changes_no_run(name, monkeypatch):
    """Regret and choices of the runs that count are those without it."""
    with_it, _ = wheels(0.5, 40, 2, name)
    monkeypatch.setattr("bench.regret.run.warm", lambda _: None)
    without, _ = wheels(0.5, 40, 2, name)
    for first, second in zip(with_it[name], without[name], strict=True):
        assert np.array_equal(first.regret, second.regret)
