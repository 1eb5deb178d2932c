"""Syncs that no thread waits for: the kernel's own workers do them, and an event loop hears when one has ended (Linux AIO, by `caio`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from select import POLLIN, poll

DEPTH = 8
"""Most syncs at a time."""


class KernelSync:
    """The syncs of `loop`. Raises ImportError, or what the system says, where it has none: then a thread must wait for each."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        from caio import linux_aio  # not where there is no Linux

        self._operation, self._context, self._loop = linux_aio.Operation, linux_aio.Context(DEPTH), loop
        loop.add_reader(self._context.fileno, self._heard)

    def sync(self, file: int, done: Callable[[str | None], None]) -> None:
        """Make durable what `file` holds now; `done` hears, on the loop, why that failed, or None. Raises what the system says where it takes no more."""
        operation = self._operation.fdsync(file)
        operation.set_callback(lambda _: done(_failure(operation.get_value)))
        if self._context.submit(operation) != 1:
            raise OSError("the kernel took no sync")

    def wait(self) -> None:
        """Until one has ended, and was told of. From the loop's thread, or where the loop does not run."""
        ready = poll()
        ready.register(self._context.fileno, POLLIN)
        ready.poll()  # begins again after a signal
        self._heard()

    def close(self) -> None:
        """Hear no more; none may be under way."""
        if not self._loop.is_closed():
            self._loop.remove_reader(self._context.fileno)

    def _heard(self) -> None:
        with suppress(BlockingIOError):
            self._context.poll()
        self._context.process_events(DEPTH)


def _failure(value: Callable[[], object]) -> str | None:
    try:
        value()
    except SystemError as error:
        return str(error)
    return None
