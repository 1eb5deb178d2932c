"""From the event loop to a thread and back: questions wait in line, the thread takes them in batches, and each is answered on the loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from time import perf_counter
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class Waiting(Generic[Q, A]):
    """One question, since `perf_counter` said `since`. `done` is told the answer, or what was given as an exception, on the loop; `coming` may be told before,
    there too, what the answer will be unless something fails, so that it is ready by then. It must not raise.
    """

    asked: Q
    done: Callable[[A | Exception], None]
    since: float
    coming: Callable[[A], None] | None = None


class Line(Generic[Q, A]):
    """`put` or `ask`; `run`, in a thread named `name`, takes with `next` and answers with `give` until `next` says that the line has ended."""

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self._queue: SimpleQueue[Waiting[Q, A] | None] = SimpleQueue()
        self._name, self._run = name, run
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; answers are given on `loop`."""
        self._loop = loop
        self.replace(self._run)

    def replace(self, run: Callable[[], None]) -> None:
        """Let `run`, in a thread of its own, take from now on; the thread that took until now must take nothing more."""
        self._thread = threading.Thread(target=self._taking, args=(run,), name=self._name, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End once all that waits is answered."""
        self._queue.put(None)
        self._ended.wait()

    def _taking(self, run: Callable[[], None]) -> None:
        try:
            run()
        finally:
            if threading.current_thread() is self._thread:
                self._ended.set()

    def __len__(self) -> int:
        return self._queue.qsize()

    def put(self, waiting: Waiting[Q, A]) -> None:
        """Behind all others."""
        self._queue.put(waiting)

    async def ask(self, asked: Q) -> A:
        """The answer, or what was given as an exception; from the loop."""
        return await answered(lambda done: self.put(Waiting(asked, done, perf_counter())))

    def next(self, *, block: bool) -> Waiting[Q, A] | None:
        """The next in line. None at its end, which is said again whenever it is asked. Raises queue.Empty where nothing waits and `block` is false."""
        one = self._queue.get(block=block)
        if one is None:
            self._queue.put(None)
        return one

    def give(self, answers: Iterable[tuple[Waiting[Q, A], A | Exception]]) -> None:
        """Answer on the loop."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(_tell, list(answers))


async def answered(ask: Callable[[Callable[[A | Exception], None]], None]) -> A:
    """What `ask` lets somebody tell. Whoever has gone meanwhile is told nothing."""
    future: asyncio.Future[A] = asyncio.get_running_loop().create_future()

    def done(answer: A | Exception) -> None:
        if future.done():
            return
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)

    ask(done)
    return await future


def _tell(answers: Iterable[tuple[Waiting[Q, A], A | Exception]]) -> None:
    for waiting, answer in answers:
        waiting.done(answer)
