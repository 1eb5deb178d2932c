"""Outcomes in groups: what arrives while one transaction is synced goes into the next one together."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from queue import Empty
from time import perf_counter
from typing import NamedTuple

from serving.line import Line, Waiting, answered
from serving.metrics import Metrics
from serving.patience import Overdue, Patience
from training.adapters.decision_log import DecisionLog
from training.adapters.log_outcomes import Receipt
from training.config.serving import Clock
from training.domain.nouns import Outcome

MOST = 2_000
"""Outcomes of one transaction, beyond which no further request is added to it."""
WAITING = 1_024
"""Most requests that wait; more are refused, else a log that is down would fill the memory."""


class Told(NamedTuple):
    """Outcomes of one request, and when they arrived."""

    outcomes: Sequence[Outcome]
    received_at: datetime


class Crowded(Exception):  # noqa: N818 - it is no error of ours
    """Too many outcomes wait already."""


class Ingest:
    """`take` from the event loop; a thread appends what waits and answers once it is durable."""

    def __init__(self, log: DecisionLog, clock: Clock, seconds: float, metrics: Metrics) -> None:
        """Nobody waits longer than `seconds`."""
        self._log, self._clock = log, clock
        self._line: Line[Told, list[Receipt]] = Line("ingest", self._run)
        self._patience: Patience[list[Receipt]] = Patience(seconds, metrics)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; `take` is called on `loop`."""
        self._line.start(loop)
        self._patience.start(loop)

    def stop(self) -> None:
        """Answer what waits, then end the thread."""
        self._line.stop()
        self._patience.stop()

    @property
    def hangs(self) -> bool:
        """As of `Decider`."""
        return self._patience.hangs

    async def take(self, outcomes: Sequence[Outcome], received_at: datetime) -> list[Receipt]:
        """Receipts in order, once those accepted are durable. Raises what the log raises, or Crowded: then none of them was kept; and Overdue where it has not
        answered in time: then they may be.
        """
        if len(self._line) >= WAITING:
            raise Crowded
        if self._patience.hangs:
            raise Overdue
        told = Told(outcomes, received_at)
        return await answered(lambda done: self._line.put(Waiting(told, self._patience.add(done), perf_counter())))

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._line.give(zip(batch, self._append([w.asked for w in batch]), strict=True))
            except Exception as error:  # noqa: BLE001 - whatever the log raises, callers must be told
                self._line.give((w, error) for w in batch)

    def _next(self) -> list[Waiting[Told, list[Receipt]]]:
        batch: list[Waiting[Told, list[Receipt]]] = []
        while sum(len(w.asked.outcomes) for w in batch) < MOST:
            try:
                one = self._line.next(block=not batch)
            except Empty:
                break
            if one is None:
                break
            batch.append(one)
        return batch

    def _append(self, batch: Sequence[Told]) -> list[list[Receipt]]:
        together = [outcome for told in batch for outcome in told.outcomes]
        receipts = iter(self._log.append_outcomes(together, max(told.received_at for told in batch), self._clock))
        return [list(islice(receipts, len(told.outcomes))) for told in batch]
