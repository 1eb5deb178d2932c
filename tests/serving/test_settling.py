"""From committed to answered: on the spot or by the thread, and never with the loop waiting for a sync that the thread is at."""

from __future__ import annotations

import asyncio
import threading

from prometheus_client import CollectorRegistry

from serving.line import Waiting
from serving.metrics import Metrics
from serving.settling import Made, Settling
from tests.fakes.logs import served


def test_a_single_decision_waits_for_no_sync_of_the_thread_on_the_loop():
    """While the thread syncs for two, the third is handed over as well and `take` returns; all are answered in order. Later one alone is settled at once."""
    gate, syncing, third, threads, told = threading.Event(), threading.Event(), asyncio.Event(), [], []

    def settle(wait):
        threads.append(threading.current_thread().name)
        syncing.set()
        assert gate.wait(60) or not wait

    def hear(answer):
        told.append(answer.asked.decision_id)
        if len(told) == 3:
            third.set()

    def made(*numbers, wait=False):
        batch = [Waiting(served(i).asked, hear, 0.0) for i in numbers]
        return Made(batch, [served(i) for i in numbers], lambda: settle(wait))

    async def run():
        settling = Settling(Metrics(CollectorRegistry()), lambda _: None)
        settling.start(asyncio.get_running_loop())
        settling.take(made(1, 2, wait=True))
        assert await asyncio.to_thread(syncing.wait, 60)
        settling.take(made(3))
        assert told == []
        gate.set()
        await third.wait()
        settling.take(made(4))
        assert len(told) == 4
        settling.stop()

    asyncio.run(asyncio.wait_for(run(), 120))
    assert told == [served(i).asked.decision_id for i in (1, 2, 3, 4)]
    assert threads == ["settling", "settling", "MainThread"]
