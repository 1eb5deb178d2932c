"""The kill switch while a decision waits for the log: an arm that is paused meanwhile is shown to nobody."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from serving.decider import Decider
from serving.features import Lookup
from serving.metrics import Metrics
from tests.fakes.logs import database, postgres, served
from tests.serving.test_decider import Source, Store, asked, until
from training.adapters.decision_log import DecisionLog
from training.domain.nouns import NONE
from training.domain.served import Reason


class Told(DecisionLog):
    """Says when it is asked for a transaction."""

    def __init__(self, url):
        super().__init__(url)
        self.asked = threading.Event()

    @contextmanager
    def staged(self, members, **how):
        self.asked.set()
        with super().staged(members, **how) as real:
            yield real


class Pausing(Source):
    """All arms are paused once somebody says so, or nobody knows."""

    def __init__(self):
        self.paused = frozenset()

    @property
    def world(self):
        return replace(Source.world, paused=self.paused)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Postgres server."""
    with postgres(tmp_path_factory.mktemp("pg")) as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request, tmp_path):
    """Of an empty log."""
    return f"sqlite:///{tmp_path / 'log.db'}" if request.param == "sqlite" else database(request.getfixturevalue("server"))


def after(url, waits, paused, *, local=False, adds=False):
    """A decision on m1 for which another transaction had to end, which has m1 locked or `adds` decisions on another; meanwhile, once `waits`, the pauses
    became `paused`.
    """
    log, other, source = Told(url), DecisionLog(url), Pausing()
    decider = Decider(log, Lookup(Store(local=local), 60), source, Metrics(CollectorRegistry()), lambda: 0.999)

    async def ask():
        decider.start(asyncio.get_running_loop())
        with other.staged(["another" if adds else "m1"]) as held:
            if adds:
                held.append([served("1", "another")])
            waiting = asyncio.create_task(decider.ask(asked("m1", "r1")))
            await until(lambda: waits(log))
            source.paused = paused
        found = await waiting
        await asyncio.to_thread(decider.stop)
        return found

    try:
        found = asyncio.run(asyncio.wait_for(ask(), 60))
        assert log.find("d-r1").chosen_arm == found.chosen_arm
    finally:
        log.engine.dispose()
        other.engine.dispose()
    return found


def comes(log):
    """Somebody is about to wait for the log's lock."""
    return log.asked.is_set()


def queues(log):
    """Somebody waits for a lock of a Postgres."""
    with log.engine.connect() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM pg_locks WHERE NOT granted").scalar_one() > 0


EVERY = frozenset(Source.world.menus.catalog.arms)


@pytest.mark.parametrize("local", [False, True], ids=["thread", "loop"])
def test_an_arm_paused_while_a_decision_waits_for_its_lock_is_not_shown(url, local):
    """Of the thread's, and of one that the loop could not take at once."""
    found = after(url, comes, EVERY, local=local)
    assert (found.chosen_arm, found.reason) == (NONE, Reason.NO_CHAMPION)
    assert "arm is paused" in found.excluded.values()


@pytest.mark.parametrize(("paused", "reason"), [(EVERY, Reason.NO_CHAMPION), (None, Reason.STATE_UNREADABLE)])
def test_an_arm_paused_while_a_decision_waits_to_be_added_is_not_shown(server, paused, reason):
    """It was chosen before the wait, and is chosen again after it, with the propensities of what may be shown by then; so where nobody knows by then."""
    found = after(database(server), queues, paused, adds=True)
    assert (found.chosen_arm, found.propensity, found.reason) == (NONE, 1.0, reason)


def test_what_may_be_shown_still_is(server):
    """Nothing was paused: the decision stands as it was made."""
    found = after(database(server), queues, frozenset(), adds=True)
    assert found.chosen_arm != NONE
