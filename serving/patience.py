"""Nobody waits for a log that does not answer: whoever has waited too long is refused, and so is whoever comes after, until it answers again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
    asking = asyncio.ensure_future(asyncio.to_thread(ask, *of, **named))
    await asyncio.wait({asking}, timeout=seconds)
    if not asking.done():
        asking.add_done_callback(_heard)
        raise Overdue
    return asking.result()


def _heard(asked: asyncio.Future[A]) -> None:
    """Nobody waits for it any more, nor for what it raised."""
    if not asked.cancelled():
        asked.exception()


class Ticket(Generic[A]):
    """One who waits since `since`: it is called with the answer, once, by whoever has it. `gone` once he was refused."""

    __slots__ = ("_answered", "done", "gone", "since")

    def __init__(self, done: Done[A], answered: Callable[[Ticket[A], A | Exception], None]) -> None:
        self.done, self.since, self.gone, self._answered = done, perf_counter(), False, answered

    def __call__(self, answer: A | Exception) -> None:
        """Tell him, if he still waits."""
        self._answered(self, answer)


class Patience(Generic[A]):
    """Who waits, the first one first. For one event loop.

    A log that is slow and answers is no log that hangs: who waits for it waits on, and `len` says how many are unanswered, those refused included.
    """

    def __init__(self, seconds: float, metrics: Metrics) -> None:
        self._seconds, self._metrics = seconds, metrics
        self._waiting: dict[Ticket[A], None] = {}
        self._open, self._ended = 0, False
        self._progress, self._last = True, 0.0
        self.hangs = False
        """Whether nobody was answered for `seconds`, somebody waited all the time, and what he waits for is still under way."""

    def __len__(self) -> int:
        return self._open

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin to look at who waits."""
        loop.call_later(EVERY, self._look, loop)

    def stop(self) -> None:
        """Look no more. From any thread."""
        self._ended = True

    def add(self, done: Done[A]) -> Ticket[A]:
        """What is to be told the answer in place of `done`, which hears of it, or of Overdue where that comes first. On the loop, both."""
        ticket = Ticket(done, self._answered)
        self._open += 1
        self._waiting[ticket] = None
        return ticket

    def _answered(self, ticket: Ticket[A], answer: A | Exception) -> None:
        self._open -= 1
        if not isinstance(answer, Overdue):  # said of who had gone before it was his turn
            self._progress, self.hangs = True, False
        if not self._open:  # with nothing under way nobody would ever say that the log is back
            self.hangs = False
        if not ticket.gone:
            del self._waiting[ticket]
            self._tell(ticket, answer)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = perf_counter()
        if self._progress:
            self._progress, self._last = False, now
        late = now - self._seconds
        overdue = [ticket for ticket in self._waiting if ticket.since <= late] if self._last <= late else []
        for ticket in overdue:
            ticket.gone = True
            del self._waiting[ticket]
            self._tell(ticket, Overdue())
        if overdue and not self.hangs:
            self.hangs = True
            self._metrics.trouble("log", Overdue(f"it has not answered for {self._seconds:g} s"))
        if not self._ended:
            loop.call_later(EVERY, self._look, loop)

    def _tell(self, ticket: Ticket[A], answer: A | Exception) -> None:
        try:
            ticket.done(answer)
        except Exception as error:  # noqa: BLE001 - the others are told all the same
            self._metrics.trouble("answer", error)


def gone(done: object) -> bool:
    """Whether it is a ticket of somebody who was refused."""
    return isinstance(done, Ticket) and done.gone
