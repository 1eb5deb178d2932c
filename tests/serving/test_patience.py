"""A log that does not answer: who waits is told in time, who comes after at once, and all goes on when it answers."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from serving import decisions, outcomes, settling
from serving.decider import Decider
from serving.features import Lookup
from serving.ingest import Ingest
from serving.metrics import Metrics
from serving.patience import Overdue, Patience
from serving.problems import Refusal
from tests.fakes.logs import AT
from tests.serving.test_decider import Source, Store, asked, until
from training.adapters.decision_log import DecisionLog
from training.adapters.log_outcomes import Answer, Receipt
from training.config.serving import Clock
from training.domain.nouns import Outcome, OutcomeKind
from training.domain.served import Served

CLICK = [Outcome("o1", "d1", OutcomeKind.CLICK, AT)]


class Hasty(Source):
    """Waits a tenth of a second for its log."""

    world = replace(Source.world, serving=Source.serving.model_copy(update={"log_budget_ms": 100.0}))


class Held(DecisionLog):
    """Keeps nothing before `gate` is open; `threads` are those in which it was written to."""

    def __init__(self, url):
        super().__init__(url)
        self.gate, self.threads = threading.Event(), []

    @contextmanager
    def staged(self, members, **how):
        self.threads.append(threading.current_thread().name)
        with super().staged(members, **how) as real:
            settle = real.settle
            real.begin, real.settle = (lambda *_: False), lambda: (self.gate.wait(60), settle())
            yield real


@pytest.fixture
def log(tmp_path):
    """Of a home without a service."""
    return Held(f"sqlite:///{tmp_path / 'log.db'}")


def run(test):
    """Within a minute."""
    return asyncio.run(asyncio.wait_for(test(), 60))


def told(answer):
    """Somebody who cannot be told."""
    raise ValueError(answer)


def test_who_waits_too_long_is_told_and_hears_no_more():
    """In the order of coming; one who cannot be told harms no other; an answer to anybody ends it."""
    heard, later = [], []

    async def test():
        patience = Patience(0.05, Metrics(CollectorRegistry()))
        patience.start(asyncio.get_running_loop())
        first = patience.add(heard.append)
        patience.add(told)
        patience.add(heard.append)
        assert (len(patience), patience.hangs) == (3, False)
        await until(lambda: not len(patience))
        assert patience.hangs
        first("late")
        assert not patience.hangs
        patience.add(later.append)("in time")
        patience.stop()

    run(test)
    assert [type(one) for one in heard] == [Overdue, Overdue]
    assert later == ["in time"]


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


def test_the_loop_writes_nothing_while_a_sync_hangs(log, monkeypatch):
    """The first decision is written by the loop, the next one by the thread, since a disk that does not sync may not write either."""
    monkeypatch.setattr(settling, "SLOW", 0.0)

    async def test():
        decider = Decider(log, Lookup(Store(local=True), 5), Source(), Metrics(CollectorRegistry()), lambda: 0.999)
        decider.start(asyncio.get_running_loop())
        waiting = [asyncio.create_task(decider.ask(asked("m1", "r1")))]
        await until(lambda: len(log.threads) == 1)
        waiting.append(asyncio.create_task(decider.ask(asked("m2", "r2"))))
        await until(lambda: len(log.threads) == 2)
        log.gate.set()
        found = await asyncio.gather(*waiting)
        await asyncio.to_thread(decider.stop)
        return found

    assert all(isinstance(found, Served) for found in run(test))
    assert log.threads == [threading.main_thread().name, "decider"]


def test_outcomes_that_are_not_kept_in_time_are_refused():
    """And the next ones at once, until the log answers."""
    gate = threading.Event()

    class Log:
        """Takes all, once `gate` is open."""

        def append_outcomes(self, some, received_at, clock):
            gate.wait(60)
            return [Receipt(o.outcome_id, Answer.ACCEPTED) for o in some]

    async def test():
        ingest = Ingest(Log(), Clock.WALL, 0.1, Metrics(CollectorRegistry()))
        ingest.start(asyncio.get_running_loop())
        for _ in range(2):
            with pytest.raises(Overdue):
                await ingest.take(CLICK, AT)
        assert ingest.hangs
        gate.set()
        await until(lambda: not ingest.hangs)
        found = await ingest.take(CLICK, AT)
        await asyncio.to_thread(ingest.stop)
        return found

    assert run(test)[0].answer is Answer.ACCEPTED


def test_callers_are_told_that_the_log_does_not_answer():
    """503 with Retry-After, and what to send again."""

    class Hung:
        """Of `Ingest`."""

        async def take(self, some, received_at):
            raise Overdue

    with pytest.raises(Refusal, match="same request_id") as decision:
        decisions.standing(asked("m1", "r1"), Overdue())
    core = SimpleNamespace(ingest=Hung(), received=lambda: AT)
    with pytest.raises(Refusal, match="same ids") as outcome:
        run(lambda: outcomes.apply(core, list(enumerate(CLICK))))
    assert [(r.value.status, r.value.headers) for r in (decision, outcome)] == [(503, {"Retry-After": "1"})] * 2
