"""One learner a log: whoever comes second is told, and a killed one holds nothing."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal

import pytest

from tests.fakes.logs import database
from training.adapters import learner_lock
from training.adapters.learner_lock import only_learner
from training.adapters.log_engine import log_engine
from training.domain.errors import LogError


def fail_with(engine, other, folder):
    """Take the lock, look whether another one gets it too, and fail."""
    with only_learner(engine, folder) as mine, only_learner(other, folder) as second:
        raise ValueError(f"{bool(mine)} {bool(second)}")


def test_the_second_one_is_told_until_the_first_one_ends(log_url, tmp_path):
    """Also where the first one ends with an error."""
    one, two = log_engine(log_url), log_engine(log_url)
    with pytest.raises(ValueError, match="True False"):
        fail_with(one, two, tmp_path)
    with only_learner(two, tmp_path) as mine:
        assert mine
    one.dispose()
    two.dispose()


def test_whoever_deletes_the_snapshots_does_not_delete_the_lock(log_url, tmp_path):
    """Their folder may be deleted at any time, also while somebody learns."""
    one, two, folder = log_engine(log_url), log_engine(log_url), tmp_path / "posterior"
    folder.mkdir()
    with only_learner(one, folder) as mine:
        assert mine
        shutil.rmtree(folder)
        with only_learner(two, folder) as second:
            assert not second
    with only_learner(two, folder) as mine:
        assert mine
    one.dispose()
    two.dispose()


def test_a_learner_of_an_earlier_version_is_told_too(tmp_path):
    """It knows the lock among the snapshots alone; neither learns beside the other."""
    one, folder = log_engine(f"sqlite:///{tmp_path}/log.db"), tmp_path / "posterior"
    with learner_lock._on_file(folder / learner_lock.LOCK) as earlier, only_learner(one, folder) as mine:
        assert (earlier, bool(mine)) == (True, False)
    with only_learner(one, folder) as mine, learner_lock._on_file(folder / learner_lock.LOCK) as earlier:
        assert (bool(mine), earlier) == (True, False)
    one.dispose()


def test_a_lost_connection_loses_the_lock(postgres_server, tmp_path):
    """The server ends it, as in a failover, and another one learns: the first one is told when it asks, whatever was made anew meanwhile."""
    one, two = (log_engine(url) for url in [database(postgres_server)] * 2)
    with only_learner(one, tmp_path) as mine:
        mine.ask()
        with two.connect() as connection:
            others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            assert len(connection.exec_driver_sql(others).all()) == 1
        taken_up(two, tmp_path)
        for _ in range(2):
            with pytest.raises(LogError, match="another may learn already"):
                mine.ask()
    one.dispose()
    two.dispose()


def taken_up(engine, folder):
    """Another learner has it, and is told nothing."""
    for _ in range(1_200):
        with only_learner(engine, folder) as mine:
            if mine:
                mine.ask()
                return
        signal.sigtimedwait([], 0.05)
    pytest.fail("nobody can learn any more")


def test_a_file_stays_locked(tmp_path):
    """Its lock ends with the process alone, so asking finds nothing."""
    engine = log_engine(f"sqlite:///{tmp_path}/log.db")
    with only_learner(engine, tmp_path) as mine:
        mine.ask()
    engine.dispose()


def _hold(log_url, folder, held):
    with only_learner(log_engine(log_url), folder) as mine:
        held.send(bool(mine))
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
