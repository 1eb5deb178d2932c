"""From committed to durable, and to whoever asked: one decision on the spot, several by a thread, while the loop decides on the next ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty
from time import perf_counter
from typing import NamedTuple

from serving.line import Line, Waiting
from serving.metrics import Metrics
from training.domain.served import Asked, Served

SLOW = 0.005
"""Seconds of a sync after which the loop waits for none until one was quicker again."""

Asking = Waiting[Asked, Served]


class Unlogged(Exception):  # noqa: N818 - it says what happened
    """The log could not be written or synced, so nothing may be shown. What was committed and not synced still counts against caps, as if it had been shown."""


class Made(NamedTuple):
    """A batch that is decided and committed; whoever asked hears of it once it has been settled."""

    batch: Sequence[Asking]
    served: Sequence[Served]
    settle: Callable[[], None]


class Settling:
    """`take` on the loop; `count` hears of each batch that was answered."""

    def __init__(self, metrics: Metrics, count: Callable[[Made], None]) -> None:
        self._metrics, self._count, self._slow, self._handed = metrics, count, False, 0
        self._line: Line[Made, None] = Line("settling", self._run)
        self.start, self.stop = self._line.start, self._line.stop

    def take(self, made: Made) -> None:
        """Settle and answer. A single decision saves the hand-over to the thread, where that has nothing to do: else the loop would wait for its sync too."""
        if len(made.batch) == 1 and not self._slow and not self._handed:
            self._tell(made, self._settled(made))
        else:
            self._handed += 1
            self._line.put(Waiting(made, partial(self._taken, made), perf_counter()))

    def _run(self) -> None:
        while waiting := self._next():
            self._metrics.stage("turn", perf_counter() - waiting[0].since)
            told = self._settled(waiting[-1].asked)  # the last sync does for those before it
            self._line.give((one, told) for one in waiting)

    def _next(self) -> list[Waiting[Made, None]]:
        """All that wait; empty at the end."""
        one = self._line.next(block=True)
        found = []
        with suppress(Empty):
            while one is not None:
                found.append(one)
                one = self._line.next(block=False)
        return found

    def _settled(self, made: Made) -> Exception | None:
        begin, told = perf_counter(), None
        try:
            made.settle()
        except Exception as error:  # noqa: BLE001 - whatever the log raises, callers must be told
            told = error
        seconds = perf_counter() - begin
        self._slow = seconds > SLOW
        self._metrics.stage("sync", seconds)
        return told

    def _taken(self, made: Made, error: Exception | None) -> None:
        self._handed -= 1
        self._tell(made, error)

    def _tell(self, made: Made, error: Exception | None) -> None:
        if error is not None:
            for one in made.batch:
                one.done(Unlogged(str(error)))
            self._metrics.trouble("log", error)
            return
        for one, served in zip(made.batch, made.served, strict=True):
            one.done(served)
        self._count(made)
