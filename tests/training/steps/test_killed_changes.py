"""A change of the champion that is killed, or made twice at once: real processes on the real ledger and model registry."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from tests.fakes.platforms import FIRST, aliases, home, looked, promoted, running, settings_of
from training.adapters.experiments import SqlExperiments
from training.adapters.registry import MlflowRegistry
from training.config.settings import ROOT
from training.domain.experiment import Cause, State
from training.domain.nouns import VerdictKind
from training.steps import ramp, roll_back

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
DAY = FIRST + timedelta(days=40)
ACT = """
import os, signal, sys, time
from datetime import date
from importlib import import_module
from pathlib import Path
from sqlalchemy import event
from training.adapters.experiments import SqlExperiments
from training.adapters.ledger import SqlLedger
from training.adapters.ports import Platform
from training.adapters.registry import MlflowRegistry
from training.config.settings import Settings
from training.domain.errors import ConflictError

step, folder, point, gate = sys.argv[1:5]
settings = Settings(home=Path(folder))
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)

class Registry(MlflowRegistry):
    def point(self, alias, version):
        if point == f"before {alias}":
            die()
        super().point(alias, version)
        if point == f"after {alias}":
            die()

experiments = SqlExperiments(settings.ledger_url)
commits = iter(["begin commit", "commit"])
event.listen(experiments._database.engine, "commit", lambda *_: die() if next(commits) == point else None)
registry = Registry(settings)
registry.version("champion")
if gate:
    Path(gate, str(os.getpid())).touch()
    while len(list(Path(gate).iterdir())) < 2:
        time.sleep(0.001)
try:
    platform = Platform(*[None] * 4, registry, SqlLedger(settings.ledger_url), experiments)
    import_module(f"training.steps.{step}").run(date.fromisoformat(sys.argv[5]), settings, platform)
except ConflictError as error:
    print("CONFLICT", error)
"""


def start(step: str, folder, point: str = "", gate: str = "") -> subprocess.Popen[str]:
    """The step in a process of its own, which kills itself at `point`, or begins when two are at `gate`."""
    command = [sys.executable, "-c", ACT, step, str(folder), point, gate, DAY.isoformat()]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A home with two versions in MLflow, to copy."""
    folder = tmp_path_factory.mktemp("registered")
    settings = settings_of(folder)
    home(settings, MlflowRegistry(settings), versions=2)
    return folder


@pytest.fixture
def ready(registered, tmp_path):
    """A home before a promotion (`ramp`) or a roll-back (`roll_back`) on DAY, and its platform."""

    def make(step):
        folder = tmp_path / "home"
        shutil.copytree(registered, folder)
        settings = settings_of(folder)
        platform = home(settings, MlflowRegistry(settings), versions=0)
        if step == "ramp":
            running(platform, (0.5,))
            looked(platform, DAY, VerdictKind.PROMOTE)
        else:
            promoted(platform, DAY - timedelta(days=9))
            looked(platform, DAY, VerdictKind.REJECT, "watch-2")
        return settings, platform

    return make


STEPS = {"ramp": (ramp, State.PROMOTED, Cause.EXPERIMENT, ("1", "2")), "roll_back": (roll_back, State.ROLLED_BACK, Cause.WATCH, ("2", "1"))}


def changes(settings, cause):
    """Those of `cause`, as (before, after)."""
    return [(c.before, c.after) for c in SqlExperiments(settings.ledger_url).changes() if c.cause is cause]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("point", ["begin commit", "before champion", "after champion", "commit"])
def test_killed_anywhere_a_rerun_heals(ready, step, point):
    """Killed with SIGKILL around the move of the alias: no change is recorded, and a rerun leaves the one change, its state and its aliases."""
    settings, platform = ready(step)
    module, state, cause, (before, after) = STEPS[step]
    was = platform.experiments.all()
    killed = start(step, settings.home, point)
    assert killed.wait(120) == -signal.SIGKILL, killed.stdout.read()
    assert platform.experiments.all() == was
    assert changes(settings, cause) == []
    assert platform.registry.version("champion") == (before if point.startswith("be") else after)
    for _ in range(2):
        module.run(DAY, settings, platform)
        assert platform.experiments.all()[0].state is state
        assert changes(settings, cause) == [(before, after)]
        assert platform.registry.version("champion") == after
        assert platform.registry.version("anchor") == "1"


@pytest.mark.parametrize("step", STEPS)
def test_of_two_at_once_one_changes(ready, tmp_path, step):
    """Both end, at most one is told that it came second, and there is one change."""
    settings, platform = ready(step)
    _, state, cause, moved = STEPS[step]
    gate = tmp_path / "gate"
    gate.mkdir()
    both = [start(step, settings.home, gate=str(gate)) for _ in range(2)]
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert sum("CONFLICT" in text for text in said) <= 1, said
    assert platform.experiments.all()[0].state is state
    assert changes(settings, cause) == [moved]
    assert aliases(platform.registry)["champion"] == moved[1]


def test_what_is_read_meanwhile_is_old_or_new(ready):
    """Whoever asks the ledger while a promotion is made sees the experiment running or over, and never over without the change."""
    settings, platform = ready("ramp")
    process, seen = start("ramp", settings.home), set()
    while process.poll() is None:
        reader = SqlExperiments(settings.ledger_url)
        seen.add((reader.running() is None, len(reader.changes())))
        time.sleep(0.005)
    seen.add((platform.experiments.running() is None, len(platform.experiments.changes())))
    assert {(False, 1), (True, 2)} <= seen <= {(False, 1), (False, 2), (True, 2)}  # (False, 2): the first question before the commit, the second after
