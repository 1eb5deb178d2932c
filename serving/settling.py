"""From committed to durable, and to whoever asked, while the loop decides on the next ones."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty
from time import perf_counter
from typing import NamedTuple, Protocol

from serving.line import Line, Waiting
from serving.logs import say
from serving.metrics import Metrics
from training.adapters.kernel_sync import KernelSync
from training.domain.errors import LogError
from training.domain.served import Asked, Served

Asking = Waiting[Asked, Served]


class Unlogged(Exception):  # noqa: N818 - it says what happened
    """The log could not be written or synced, so nothing may be shown. What was committed and not synced still counts against caps, as if it had been shown."""


class Staged(Protocol):
    """What was committed (`decision_log.Writing`)."""

    def settle(self) -> None:
        """Make it durable."""

    def begin(self, kernel: KernelSync, done: Callable[[LogError | None], None]) -> bool:
        """The same by the kernel; False where only `settle` can."""


class Made(NamedTuple):
    """A batch that is decided and committed; whoever asked hears of it once it has been settled."""

    batch: Sequence[Asking]
    served: Sequence[Served]
    writing: Staged


class Settling:
    """`take` on the loop, which waits for no sync; `count` hears of each batch that was answered. The kernel syncs; where it cannot, a thread."""

    def __init__(self, metrics: Metrics, count: Callable[[Made], None]) -> None:
        self._metrics, self._count, self._handed = metrics, count, 0
        self._line: Line[Made, None] = Line("settling", self._run)
        self._ahead = Ahead(partial(metrics.stage, "sync"), self._tell, self._hand)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; `take` is called on `loop`."""
        self._line.start(loop)
        self._ahead.start(loop)

    def stop(self) -> None:
        """Answer what was taken, then end. From any thread."""
        self._ahead.stop()
        self._line.stop()

    def take(self, made: Made) -> None:
        """Settle and answer, in the order in which batches were taken."""
        if self._handed or not self._ahead.take(made):
            self._hand(made)
            return
        for one, served in zip(made.batch, made.served, strict=True):  # while the kernel syncs
            if one.coming is not None:
                one.coming(served)

    def _hand(self, made: Made) -> None:
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
            made.writing.settle()
        except Exception as error:  # noqa: BLE001 - whatever the log raises, callers must be told
            told = error
        self._metrics.stage("sync", perf_counter() - begin)
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


class Ahead:
    """Batches that the kernel syncs, one sync at a time: what is committed meanwhile goes with the next. `left` takes what it cannot."""

    def __init__(self, synced: Callable[[float], None], tell: Callable[[Made, Exception | None], None], left: Callable[[Made], None]) -> None:
        self._synced, self._tell, self._left = synced, tell, left
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._kernel: KernelSync | None = None
        self._under_way, self._next, self._since = list[Made](), list[Made](), 0.0
        self._idle: Callable[[], object] | None = None
        """Who is told when nothing is under way any more."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin, where this system can. From the loop's thread."""
        self._loop, self._thread = loop, threading.get_ident()
        try:
            self._kernel = KernelSync(loop)
        except Exception as error:  # noqa: BLE001 - no Linux, or one that does not let us: syncs are waited for
            say("no kernel syncs", error=f"{type(error).__name__}: {error}")

    def stop(self) -> None:
        """Answer all, on the loop where it runs."""
        if self._loop is None or not self._loop.is_running() or threading.get_ident() == self._thread:
            while self._under_way and self._kernel is not None:
                self._kernel.wait()
            self._close()
            return
        ended = threading.Event()
        self._loop.call_soon_threadsafe(self._finish, ended.set)
        ended.wait()

    def _finish(self, idle: Callable[[], object]) -> None:
        self._idle = idle
        self._rest()

    def _rest(self) -> None:
        if self._idle is not None and not self._under_way:
            self._close()
            self._idle()
            self._idle = None

    def _close(self) -> None:
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            kernel.close()

    def take(self, made: Made) -> bool:
        """Whether it was taken."""
        if self._kernel is None:
            return False
        self._next.append(made)
        if not self._under_way:
            for left in self._begin(self._kernel):
                self._left(left)
        return True

    def _begin(self, kernel: KernelSync) -> list[Made]:
        """Sync what waits; what the kernel does not."""
        self._under_way, self._next = self._next, []
        self._since = perf_counter()
        try:
            if self._under_way[-1].writing.begin(kernel, self._ended):  # the last sync does for those before it
                return []
        except Exception as error:  # noqa: BLE001 - whatever the kernel refuses
            self._close()
            say("no kernel syncs", error=f"{type(error).__name__}: {error}")
        left, self._under_way = self._under_way, []
        return left

    def _ended(self, error: Exception | None) -> None:
        ended, self._under_way = self._under_way, []
        self._synced(perf_counter() - self._since)
        left = self._begin(self._kernel) if self._next and self._kernel is not None else []
        for made in ended:
            self._tell(made, error)
        for made in left:
            self._left(made)
        self._rest()
