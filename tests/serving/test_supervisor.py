"""How often a child is started again."""

from __future__ import annotations

import os
import signal

import pytest

from serving import supervisor
from serving.learn import BUSY
from serving.supervisor import AGAIN, MULTIPROCESS, STANDBY, Child
from tests.serving.conftest import wait


def killed():
    """As by the kernel."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("run", "rest"), [(lambda: BUSY, STANDBY), (lambda: 0, AGAIN), (lambda: 1 / 0, AGAIN), (killed, AGAIN)])
def test_a_learner_that_finds_another_at_work_stands_by(tmp_path, monkeypatch, run, rest):
    """It would otherwise be forked every second for as long as the other one lives."""
    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    child = Child("learner", run)
    supervisor._keep(child)
    first = child.pid
    assert first
    wait(lambda: (supervisor._keep(child), child.pid != first)[1])
    assert (child.pid, child.rest) == (0, rest)
