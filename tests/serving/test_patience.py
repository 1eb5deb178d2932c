"""A log that does not answer: who waits is told in time, who comes after at once, and all goes on when it answers."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from serving import decisions, outcomes
from serving.decider import Decider
from serving.features import Lookup
from serving.ingest import Crowded, Ingest
from serving.metrics import Metrics
from serving.patience import Overdue, Patience, Reads, gone
from serving.problems import Refusal
from tests.fakes.logs import AT
from tests.serving.test_decider import Source, Store, asked, until
from training.adapters import log_syncing
from training.adapters.decision_log import DecisionLog
from training.adapters.log_outcomes import Answer, Receipt
from training.adapters.log_sqlite import Wal
from training.config.serving import Clock
from training.domain.nouns import Outcome, OutcomeKind
from training.domain.served import Served

CLICK = [Outcome("o1", "d1", OutcomeKind.CLICK, AT)]


class Hasty(Source):
    """Waits a tenth of a second for its log."""

    world = replace(Source.world, serving=Source.serving.model_copy(update={"log_budget_ms": 100.0}))


class Held(DecisionLog):
    """Keeps nothing before `gate` is open; `threads` are those in which decisions were written."""

    def __init__(self, url):
        super().__init__(url)
        self.gate, self.threads = threading.Event(), []

    @contextmanager
    def staged(self, members, **how):
        self.threads.append(threading.current_thread().name)
        with super().staged(members, **how) as real:
            yield real


@pytest.fixture
def log(tmp_path, monkeypatch):
    """Of a home without a service, on a disk that syncs nothing before `gate` is open; threads sync, not the kernel."""
    log, sync = Held(f"sqlite:///{tmp_path / 'log.db'}"), os.fdatasync
    assert log.engine
    monkeypatch.setattr(Wal, "begin", lambda *_: False)
    monkeypatch.setattr(os, "fdatasync", lambda file: (log.gate.wait(60), sync(file)))
    return log


def run(test):
    """Within a minute."""
    return asyncio.run(asyncio.wait_for(test(), 60))


def told(answer):
    """Somebody who cannot be told."""
    raise ValueError(answer)


def test_a_thread_that_asks_the_log_is_left_behind_in_time(caplog):
    """Whoever waits gets what it answers or raises; where that takes longer he goes, and what comes of it in the end, even an error, troubles nobody."""
    gate, ended = threading.Event(), threading.Event()

    def late(answer):
        gate.wait(60)
        ended.set()
        return 1 / answer

    async def test():
        patient, hasty = Reads("patient", 60), Reads("hasty", 0.02)
        assert await patient.ask(lambda a, b: a + b, "in ", b="time") == "in time"
        with pytest.raises(ZeroDivisionError):
            await patient.ask(lambda: 1 / 0)
        before = asyncio.all_tasks()
        for answer in (0, 1):
            gate.clear()
            ended.clear()
            with pytest.raises(Overdue):
                await hasty.ask(late, answer)
            assert not ended.is_set()
            gate.set()
            await until(ended.is_set)
            await until(lambda: asyncio.all_tasks() == before)
        gc.collect()

    run(test)
    assert not caplog.records


def test_who_waits_too_long_is_told_and_hears_no_more():
    """In the order of coming; one who cannot be told harms no other; an answer to anybody ends it; all are counted until they are answered."""
    heard, later = [], []

    async def test():
        patience = Patience(0.05, Metrics(CollectorRegistry()))
        patience.start(asyncio.get_running_loop())
        first, *others = [patience.add(done) for done in (heard.append, told, heard.append)]
        assert (len(patience), patience.hangs, gone(first)) == (3, False, False)
        await until(lambda: patience.hangs)
        assert (len(patience), [gone(one) for one in others]) == (3, [True, True])
        others[0](Overdue())
        assert patience.hangs
        first("late")
        assert (len(patience), patience.hangs) == (1, False)
        patience.add(later.append)("in time")
        patience.stop()

    run(test)
    assert [type(one) for one in heard] == [Overdue, Overdue]
    assert later == ["in time"]


def test_nobody_is_refused_where_nothing_is_under_way():
    """As after a pause of the whole machine: all who waited have gone before their turn, so no answer will come, and the next one is let in."""

    async def test():
        patience = Patience(0.05, Metrics(CollectorRegistry()))
        patience.start(asyncio.get_running_loop())
        tickets = [patience.add(lambda _: None) for _ in range(2)]
        await until(lambda: patience.hangs)
        tickets[0](Overdue())
        assert patience.hangs
        tickets[1](Overdue())
        assert (patience.hangs, len(patience)) == (False, 0)
        patience.stop()

    run(test)


def test_a_log_that_is_slow_and_answers_refuses_nobody():
    """Each waits four budgets, since there are many, but one is answered all the time."""
    heard = []

    async def test():
        patience = Patience(0.3, Metrics(CollectorRegistry()))
        patience.start(asyncio.get_running_loop())
        tickets = [patience.add(heard.append) for _ in range(24)]
        for i, ticket in enumerate(tickets):
            await asyncio.sleep(0.05)
            ticket(i)
        patience.stop()

    run(test)
    assert heard == list(range(24))


def test_a_decision_that_is_not_kept_in_time_is_refused(log):
    """So is the next one, without being tried; once the disk answers, so does the service, and the first one stands."""

    async def test():
        decider = Decider(log, Lookup(Store(local=True), 5), Hasty(), Metrics(CollectorRegistry()), lambda: 0.999)
        decider.start(asyncio.get_running_loop())
        with pytest.raises(Overdue):
            await decider.ask(asked("m1", "r1"))
        assert decider.hangs
        tried = len(log.threads)
        with pytest.raises(Overdue):
            await decider.ask(asked("m2", "r2"))
        assert len(log.threads) == tried
        log.gate.set()
        await until(lambda: not decider.hangs)
        found = [await decider.ask(asked("m1", "r1")), await decider.ask(asked("m2", "r2"))]
        await asyncio.to_thread(decider.stop)
        return found

    assert all(isinstance(found, Served) for found in run(test))


def test_a_decision_that_nobody_waits_for_is_not_taken(log):
    """The first one had begun and is kept; the second, which waited behind it, is not: it would count against caps, and be learned from."""

    async def test():
        decider = Decider(log, Lookup(Store(), 5), Hasty(), Metrics(CollectorRegistry()), lambda: 0.999)
        decider.start(asyncio.get_running_loop())
        first = asyncio.create_task(decider.ask(asked("m1", "r1")))
        await until(lambda: len(log.threads) == 1)
        found = await asyncio.gather(first, decider.ask(asked("m2", "r2")), return_exceptions=True)
        log.gate.set()
        await until(lambda: not decider.hangs)
        await decider.ask(asked("m3", "r3"))
        await asyncio.to_thread(decider.stop)
        return found

    assert [type(one) for one in run(test)] == [Overdue, Overdue]
    assert [log.find(f"d-{name}") is not None for name in ("r1", "r2", "r3")] == [True, False, True]


@pytest.mark.parametrize("who", ["decision", "outcome"])
def test_the_loop_writes_nothing_while_a_sync_hangs(log, monkeypatch, who):
    """Whoever's sync it is, the next decision is written by the thread, since a disk that does not sync may not write either."""
    monkeypatch.setattr(log_syncing, "SLOW", 0.0)

    async def test():
        decider = Decider(log, Lookup(Store(local=True), 5), Source(), Metrics(CollectorRegistry()), lambda: 0.999)
        ingest = Ingest(log, Clock.WALL, 60, Metrics(CollectorRegistry()))
        decider.start(asyncio.get_running_loop())
        ingest.start(asyncio.get_running_loop())
        waiting = [asyncio.create_task(decider.ask(asked("m1", "r1")) if who == "decision" else ingest.take(CLICK, AT))]
        await until(lambda: log.slow)
        waiting.append(asyncio.create_task(decider.ask(asked("m2", "r2"))))
        await until(lambda: "decider" in log.threads)
        log.gate.set()
        found = await asyncio.gather(*waiting)
        await asyncio.to_thread(decider.stop)
        await asyncio.to_thread(ingest.stop)
        return found

    assert isinstance(run(test)[-1], Served)
    assert log.threads == ([threading.main_thread().name] if who == "decision" else []) + ["decider"]


def test_outcomes_that_are_not_kept_in_time_are_refused():
    """And the next ones at once, without being tried, until the log answers."""
    gate, tried = threading.Event(), []

    class Log:
        """Takes all, once `gate` is open."""

        def append_outcomes(self, some, received_at, clock):
            tried.append([o.outcome_id for o in some])
            gate.wait(60)
            return [Receipt(o.outcome_id, Answer.ACCEPTED) for o in some]

    async def test():
        ingest = Ingest(Log(), Clock.WALL, 0.1, Metrics(CollectorRegistry()))
        ingest.start(asyncio.get_running_loop())
        for name in ("o1", "o2"):
            with pytest.raises(Overdue):
                await ingest.take([replace(CLICK[0], outcome_id=name)], AT)
        assert ingest.hangs
        gate.set()
        await until(lambda: not ingest.hangs)
        found = await ingest.take([replace(CLICK[0], outcome_id="o3")], AT)
        await asyncio.to_thread(ingest.stop)
        return found

    assert run(test)[0].answer is Answer.ACCEPTED
    assert tried == [["o1"], ["o3"]]


def test_callers_are_told_that_the_log_does_not_answer():
    """503 with Retry-After, and what to send again; so is who comes when too many wait."""

    class Hung:
        """Of `Ingest`."""

        def __init__(self, error):
            self.error = error

        async def take(self, some, received_at):
            raise self.error

    with pytest.raises(Refusal, match="same request_id") as decision:
        decisions.standing(asked("m1", "r1"), Overdue())
    found = [decision.value]
    for error, words in ((Overdue(), "same ids"), (Crowded(), "none was taken")):
        core = SimpleNamespace(ingest=Hung(error), received=lambda: AT)
        with pytest.raises(Refusal, match=words) as outcome:
            run(lambda core=core: outcomes.apply(core, list(enumerate(CLICK))))
        found.append(outcome.value)
    assert [(refusal.status, refusal.headers) for refusal in found] == [(503, {"Retry-After": "1"})] * 3
