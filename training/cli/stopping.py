"""How a command ends: one at a time on a home, stopped by any of three signals, and its cleaning up by none."""

from __future__ import annotations

import fcntl
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from training.domain.errors import ConfigError

Handler = Callable[[int, FrameType | None], object] | int | None
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SOON = 0.02
"""Seconds until it is looked again whether an import has ended."""


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold `home/run.lock`. Raises ConfigError where another command holds it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "run.lock").open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"Another `rightmatch run` or `up` works on {home}: two of them would overwrite each other. "
                "Wait for it, stop it, or set RIGHTMATCH_HOME to another folder."
            ) from None
        yield


@contextmanager
def stoppable() -> Iterator[None]:
    """The first SIGINT, SIGTERM or SIGHUP raises KeyboardInterrupt; later ones do nothing, so that what was started is always stopped.

    They do nothing for as long as the process lives: one that comes while it says goodbye would change its exit code.
    A hang-up that the caller ignores (`nohup`) stays ignored. One that comes within an import is raised when that has ended.
    """
    interruption = _Interruption()
    listened = [n for n in SIGNALS if n is not signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interruption) for number in listened}
    try:
        yield
        if interruption.waits:
            raise KeyboardInterrupt
    finally:
        if not interruption.heard:
            _restore(before)
        else:
            interruption.forget()


class _Interruption:
    """The handler: raises KeyboardInterrupt once, never within an import.

    An exception there may abort the process (DuckDB's extension has no way back while it makes its types), be swallowed, or leave half a module.
    """

    def __init__(self) -> None:
        self.heard = self.waits = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del number
        _ignore()
        self.heard = True
        if _importing(frame):
            self.waits = True
            signal.signal(signal.SIGALRM, self)
            signal.setitimer(signal.ITIMER_REAL, SOON, SOON)
            return
        self.forget()
        raise KeyboardInterrupt

    def forget(self) -> None:
        """It is raised, or the block ends, which ends the command."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self.waits = False
        _ignore()


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False


@contextmanager
def undisturbed() -> Iterator[None]:
    """No signal but SIGKILL ends the block."""
    before = _ignore()
    try:
        yield
    finally:
        _restore(before)


def _ignore() -> dict[signal.Signals, Handler]:
    return {number: signal.signal(number, signal.SIG_IGN) for number in (*SIGNALS, signal.SIGALRM)}


def _restore(before: dict[signal.Signals, Handler]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
