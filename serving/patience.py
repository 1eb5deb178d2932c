"""Nobody waits for a log that does not answer: whoever has waited too long is refused, and so is whoever comes after, until it answers again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
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


class Crowded(Exception):  # noqa: N818 - it is no error of ours
    """Too many wait already."""


class Caller:
    """One who waits for a thread: `since` he asked or, once it has `begun`, since then. `gone` once he waits no more."""

    __slots__ = ("begun", "gone", "since")

    def __init__(self) -> None:
        self.since, self.begun, self.gone = perf_counter(), False, False

    def begin(self, ask: Callable[[], A]) -> A:
        """In the thread. Raises Overdue where nobody would hear of it."""
        if self.gone:
            raise Overdue
        self.since, self.begun = perf_counter(), True
        return ask()


class Reads:
    """`ask` from the event loop; threads named `name` read, the first who came first. At most `waiting` callers wait or have left a thread at work."""

    def __init__(self, name: str, seconds: float, threads: int = 8, waiting: int = 1_024) -> None:
        self._seconds, self._most = seconds, waiting
        self._threads = ThreadPoolExecutor(threads, name)
        self._open, self._moved = 0, 0.0

    def __len__(self) -> int:
        return self._open

    def stop(self) -> None:
        """Read nothing more."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def ask(self, ask: Callable[P, A], *of: P.args, **named: P.kwargs) -> A:
        """What a thread gets from the log. Raises Crowded; and Overdue where that takes longer than `seconds`, or nothing else was done for so long that was to
        be done before. What has begun goes on until it is answered, what has not is not done any more.
        """
        if self._open >= self._most:
            raise Crowded
        caller = Caller()
        asking = asyncio.get_running_loop().run_in_executor(self._threads, caller.begin, partial(ask, *of, **named))
        self._open += 1
        asking.add_done_callback(self._done)
        try:
            while not asking.done() and (left := self._left(caller)) > 0:
                await asyncio.wait({asking}, timeout=left)
        finally:
            caller.gone = True
        if not asking.done() or asking.cancelled():
            raise Overdue
        return asking.result()

    def _left(self, caller: Caller) -> float:
        return (caller.since if caller.begun else max(caller.since, self._moved)) + self._seconds - perf_counter()

    def _done(self, asked: asyncio.Future[A]) -> None:
        self._open, self._moved = self._open - 1, perf_counter()
        if not asked.cancelled():
            asked.exception()  # perhaps nobody waits for it any more


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
