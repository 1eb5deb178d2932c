"""Outcomes in groups: what arrives while one transaction is synced goes into the next one together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue

from training.adapters.decision_log import DecisionLog
from training.adapters.log_outcomes import Receipt
from training.config.serving import Clock
from training.domain.nouns import Outcome

MOST = 2_000
"""Outcomes of one transaction, beyond which no further request is added to it."""
WAITING = 1_024
"""Most requests that wait; more are refused, else a log that is down would fill the memory."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    outcomes: Sequence[Outcome]
    received_at: datetime
    answer: asyncio.Future[list[Receipt]]


class Crowded(Exception):  # noqa: N818 - it is no error of ours
    """Too many outcomes wait already."""


class Ingest:
    """`take` from the event loop; a thread appends what waits and answers once it is durable."""

    def __init__(self, log: DecisionLog, clock: Clock) -> None:
        self._log, self._clock = log, clock
        self._queue: SimpleQueue[_Waiting | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="ingest", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; answers are given on `loop`."""
        self._loop = loop
        self._thread.start()

    def stop(self) -> None:
        """Append what waits, then end."""
        self._queue.put(None)
        self._thread.join()

    async def take(self, outcomes: Sequence[Outcome], received_at: datetime) -> list[Receipt]:
        """Receipts in order, once those accepted are durable. Raises what the log raises, or Crowded: then none of them was kept."""
        if self._queue.qsize() >= WAITING:
            raise Crowded
        answer: asyncio.Future[list[Receipt]] = asyncio.get_running_loop().create_future()
        self._queue.put(_Waiting(outcomes, received_at, answer))
        return await answer

    def _run(self) -> None:
        while batch := self._next():
            try:
                self._give(list(zip((w.answer for w in batch), self._append(batch), strict=True)))
            except Exception as error:  # noqa: BLE001 - whatever the log raises, callers must be told
                self._give([(w.answer, error) for w in batch])

    def _next(self) -> list[_Waiting]:
        batch: list[_Waiting] = []
        while sum(len(w.outcomes) for w in batch) < MOST:
            try:
                one = self._queue.get(block=not batch)
            except Empty:
                break
            if one is None:
                if batch:
                    self._queue.put(None)  # seen again once these are answered
                break
            batch.append(one)
        return batch

    def _append(self, batch: Sequence[_Waiting]) -> list[list[Receipt]]:
        together = [outcome for w in batch for outcome in w.outcomes]
        receipts = self._log.append_outcomes(together, max(w.received_at for w in batch), self._clock)
        parts, start = [], 0
        for w in batch:
            parts.append(receipts[start : start + len(w.outcomes)])
            start += len(w.outcomes)
        return parts

    def _give(self, answers: Sequence[tuple[asyncio.Future[list[Receipt]], list[Receipt] | Exception]]) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_resolve, answers)


def _resolve(answers: Sequence[tuple[asyncio.Future[list[Receipt]], list[Receipt] | Exception]]) -> None:
    for future, answer in answers:
        if future.done():  # the caller has gone
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
