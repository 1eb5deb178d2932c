"""Nobody waits for a log that does not answer: whoever has waited too long is refused, and so is whoever comes after, until it answers again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Generic, ParamSpec, TypeVar

from serving.metrics import Metrics

A = TypeVar("A")
P = ParamSpec("P")
Done = Callable[[A | Exception], None]

EVERY = 0.1
"""Seconds between two looks at who has waited longest."""


class Overdue(Exception):  # noqa: N818 - it says what happened
    """The log has not answered in time. What it was asked to keep may be kept in the end."""


async def in_time(seconds: float, ask: Callable[P, A], *of: P.args, **named: P.kwargs) -> A:
    """What a thread gets from the log. Raises Overdue where that takes longer; the thread goes on until it is answered."""
    try:
        return await asyncio.wait_for(asyncio.to_thread(ask, *of, **named), seconds)
    except TimeoutError:
        raise Overdue from None


class Patience(Generic[A]):
    """Who waits, the first one first, each for `seconds` at most. For one event loop."""

    def __init__(self, seconds: float, metrics: Metrics) -> None:
        self._seconds, self._metrics = seconds, metrics
        self._waiting: dict[int, tuple[Done[A], float]] = {}
        self._count, self._ended = 0, False
        self.hangs = False
        """Whether somebody waited too long, and nobody was answered since."""

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look at who waits."""
        loop.call_later(EVERY, self._look, loop)

    def stop(self) -> None:
        """Look no more. From any thread."""
        self._ended = True

    def add(self, done: Done[A]) -> Done[A]:
        """What is to be told the answer in place of `done`, which hears of it, or of Overdue where that comes first. On the loop, both."""
        self._count += 1
        self._waiting[self._count] = done, perf_counter()
        return partial(self._answered, self._count)

    def _answered(self, number: int, answer: A | Exception) -> None:
        self.hangs = False
        one = self._waiting.pop(number, None)
        if one is not None:
            self._tell(one[0], answer)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        late = perf_counter() - self._seconds
        while self._waiting:
            number, (done, since) = next(iter(self._waiting.items()))
            if since > late:
                break
            del self._waiting[number]
            if not self.hangs:
                self._metrics.trouble("log", Overdue(f"it has not answered for {self._seconds:g} s"))
            self.hangs = True
            self._tell(done, Overdue())
        if not self._ended:
            loop.call_later(EVERY, self._look, loop)

    def _tell(self, done: Done[A], answer: A | Exception) -> None:
        try:
            done(answer)
        except Exception as error:  # noqa: BLE001 - the others are told all the same
            self._metrics.trouble("answer", error)
