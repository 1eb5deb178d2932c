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
