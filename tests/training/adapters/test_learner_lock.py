"""One learner a log: whoever comes second is told, and a killed one holds nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal

import pytest

from training.adapters.learner_lock import only_learner
from training.adapters.log_engine import log_engine


def fail_with(engine, other, folder):
    """Take the lock, look whether another one gets it too, and fail."""
    with only_learner(engine, folder) as mine, only_learner(other, folder) as second:
        raise ValueError(f"{mine} {second}")


def test_the_second_one_is_told_until_the_first_one_ends(log_url, tmp_path):
    """Also where the first one ends with an error."""
    one, two = log_engine(log_url), log_engine(log_url)
    with pytest.raises(ValueError, match="True False"):
        fail_with(one, two, tmp_path)
    with only_learner(two, tmp_path) as mine:
        assert mine
    one.dispose()
    two.dispose()


def _hold(log_url, folder, held):
    with only_learner(log_engine(log_url), folder) as mine:
        held.send(mine)
        signal.pause()


def test_a_killed_one_holds_nothing(log_url, tmp_path):
    """kill -9, then the next one learns."""
    theirs, ours = multiprocessing.Pipe()
    child = multiprocessing.get_context("fork").Process(target=_hold, args=(log_url, tmp_path, theirs))
    child.start()
    assert ours.poll(60)
    assert ours.recv()
    engine = log_engine(log_url)
    with only_learner(engine, tmp_path) as mine:
        assert not mine
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    for _ in range(1_200):  # Postgres notices that the connection is gone
        with only_learner(engine, tmp_path) as mine:
            if mine:
                break
        signal.sigtimedwait([], 0.05)
    assert mine
    engine.dispose()
