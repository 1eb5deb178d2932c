"""Outcomes in groups: what arrives while one transaction is synced goes into the next one together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import islice
from queue import Empty
from typing import NamedTuple

from serving.line import Line, Waiting
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

    def __init__(self, log: DecisionLog, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._line: Line[Told, list[Receipt]] = Line("ingest", self._run)
        self.start, self.stop = self._line.start, self._line.stop

    async def take(self, outcomes: Sequence[Outcome], received_at: datetime) -> list[Receipt]:
        """Receipts in order, once those accepted are durable. Raises what the log raises, or Crowded: then none of them was kept."""
        if len(self._line) >= WAITING:
            raise Crowded
        return await self._line.ask(Told(outcomes, received_at))

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
