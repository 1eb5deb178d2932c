"""Tasks by several processes at once, or here and now by none but this one.

Processes are started anew (spawn): torch, Arrow and DuckDB have threads, which a fork would cut off. They are kept from task to task, because importing all
of that takes seconds. They write to the same standard error, hear none of the signals that end a command, and end with their owner, however that ends.
"""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context, parent_process, resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Generic, Protocol, Self, TypeVar

from training.cli.stopping import SIGNALS
from training.domain.errors import StepError

T = TypeVar("T")
Task = Callable[[], T]
"""Without arguments; to be pickled where processes do it, and so are its answer and what it raises."""


class Crew(Protocol[T]):
    """Does tasks; whoever gives them takes the answers, in the order in which they come."""

    @property
    def free(self) -> bool:
        """Whether another task would be begun at once."""

    @property
    def busy(self) -> bool:
        """Whether an answer is to come."""

    def give(self, task: Task[T]) -> None:
        """Begin `task`. To be called while `free`."""

    def answer(self) -> T:
        """Wait for the next answer; raises what its task raised. To be called while `busy`."""


class Alone(Generic[T]):
    """This process, which does a task when it is asked for the answer."""

    def __init__(self) -> None:
        self._task: Task[T] | None = None

    @property
    def free(self) -> bool:
        """See Crew."""
        return self._task is None

    @property
    def busy(self) -> bool:
        """See Crew."""
        return self._task is not None

    def give(self, task: Task[T]) -> None:
        """See Crew."""
        self._task = task

    def answer(self) -> T:
        """See Crew."""
        if self._task is None:
            raise RuntimeError("answer() was called before give().")
        task, self._task = self._task, None
        return task()


@dataclass(frozen=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection


class Processes(Generic[T]):
    """At most `jobs` processes, each started when it is first needed; every one calls `begin` first. Leaving the block kills them."""

    def __init__(self, jobs: int, begin: Callable[[], object]) -> None:
        self._jobs, self._begin = jobs, begin
        self._idle: list[_Worker] = []
        self._busy: dict[Connection, _Worker] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        workers = [*self._idle, *self._busy.values()]
        for worker in workers:
            worker.process.kill()
        for worker in workers:
            worker.process.join()
            worker.pipe.close()

    @property
    def free(self) -> bool:
        """See Crew."""
        return len(self._busy) < self._jobs

    @property
    def busy(self) -> bool:
        """See Crew."""
        return bool(self._busy)

    def give(self, task: Task[T]) -> None:
        """See Crew."""
        worker = self._idle.pop() if self._idle else self._started()
        self._busy[worker.pipe] = worker
        with suppress(BrokenPipeError):  # `answer` finds that it has ended
            worker.pipe.send(task)

    def answer(self) -> T:
        """See Crew. Raises StepError where a process has ended without an answer."""
        pipe = next(c for c in wait(list(self._busy)) if isinstance(c, Connection))
        try:
            found, error, where = pipe.recv()
        except (EOFError, ConnectionResetError):
            process = self._busy[pipe].process
            process.join()
            raise StepError(
                f"A process of this benchmark ended with {process.exitcode}, so its figures are missing. "
                "Where nothing is said above, the machine ran out of memory: give fewer --jobs, or fewer members."
            ) from None
        self._idle.append(self._busy.pop(pipe))
        if error is not None:
            error.add_note(f"In a process of the benchmark:\n{where}")
            raise error
        answer: T = found
        return answer

    def _started(self) -> _Worker:
        """A new process, for which the signals that end a command stay blocked: only its owner ends it."""
        resource_tracker.ensure_running()  # it would unblock them
        here, there = get_context("spawn").Pipe()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            process = get_context("spawn").Process(target=_work, args=(there, self._begin), daemon=True)
            process.start()
        finally:
            there.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return _Worker(process, here)


def _work(pipe: Connection, begin: Callable[[], object]) -> None:
    """Do what comes through `pipe` until it is closed."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin()
    with suppress(EOFError):
        while True:
            task = pipe.recv()
            try:
                done = task(), None, ""
            except Exception as error:  # noqa: BLE001 - the owner raises it
                pipe.send((None, error, traceback.format_exc()))
            else:
                pipe.send(done)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
