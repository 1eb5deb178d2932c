"""Outcomes that wait are bounded, and whoever is refused is told."""

from __future__ import annotations

import asyncio
import threading

import pytest
from prometheus_client import CollectorRegistry

from serving.ingest import Crowded, Ingest
from serving.metrics import Metrics
from tests.fakes.logs import AT
from training.adapters.log_outcomes import Answer, Receipt
from training.config.serving import Clock
from training.domain.errors import LogError
from training.domain.nouns import Outcome, OutcomeKind


class Log:
    """Takes all, once `gate` is open."""

    def __init__(self):
        self.gate = threading.Event()

    def append_outcomes(self, outcomes, received_at, clock):
        self.gate.wait(60)
        return [Receipt(o.outcome_id, Answer.ACCEPTED) for o in outcomes]


@pytest.mark.parametrize("most", [1, 7])
def test_a_log_that_hangs_fills_no_memory(monkeypatch, most):
    """What waits is kept in the end, besides what was under way."""
    monkeypatch.setattr("serving.ingest.WAITING", most)
    log = Log()
    ingest = Ingest(log, Clock.WALL, 60.0, Metrics(CollectorRegistry()))

    async def tell():
        ingest.start(asyncio.get_running_loop())
        tasks = [asyncio.create_task(ingest.take([Outcome(f"o{i}", "d1", OutcomeKind.CLICK, AT)], AT)) for i in range(40)]
        await asyncio.sleep(0.1)
        log.gate.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(ingest.stop)
        return found

    found = asyncio.run(tell())
    kept = [f for f in found if not isinstance(f, Crowded)]
    assert most <= len(kept) <= most + 2 * most
    assert all(f[0].answer is Answer.ACCEPTED for f in kept)


def test_what_the_log_raises_is_told_to_all_whom_it_concerns():
    """Those whose outcomes it was to take together; whoever comes after is taken as ever. Receipts are those of one's own outcomes, in order."""

    class Failing(Log):
        reached = threading.Semaphore(0)

        def append_outcomes(self, outcomes, received_at, clock):
            self.reached.release()
            found = super().append_outcomes(outcomes, received_at, clock)
            if any(o.outcome_id == "bad" for o in outcomes):
                raise LogError("the disk is gone")
            return found

    log = Failing()
    ingest = Ingest(log, Clock.WALL, 60.0, Metrics(CollectorRegistry()))

    def tell(*names):
        return asyncio.create_task(ingest.take([Outcome(name, "d1", OutcomeKind.CLICK, AT) for name in names], AT))

    async def run():
        ingest.start(asyncio.get_running_loop())
        found = []
        for groups in ((("a",), ("b", "bad"), ("c",)), (("d",), ("e", "f"), ("g",))):
            log.gate.clear()
            tasks = [tell("first")]
            await asyncio.to_thread(log.reached.acquire)  # the others wait until it is kept
            tasks += [tell(*names) for names in groups]
            await asyncio.sleep(0)
            log.gate.set()
            found.append(await asyncio.gather(*tasks, return_exceptions=True))
            await asyncio.to_thread(log.reached.acquire)
        await asyncio.to_thread(ingest.stop)
        return found

    bad, good = asyncio.run(asyncio.wait_for(run(), 60))
    assert [isinstance(one, LogError) for one in bad] == [False, True, True, True]
    assert [[receipt.outcome_id for receipt in one] for one in good] == [["first"], ["d"], ["e", "f"], ["g"]]
