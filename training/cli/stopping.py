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
    A hang-up that the caller ignores (`nohup`) stays ignored.
    """
    interrupted = False

    def interrupt(number: int, frame: object) -> None:
        nonlocal interrupted
        del number, frame
        interrupted = True
        _ignore()
        raise KeyboardInterrupt

    heard = [n for n in SIGNALS if n is not signal.SIGHUP or signal.getsignal(n) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in heard}
    try:
        yield
    finally:
        if not interrupted:
            _restore(before)


@contextmanager
def undisturbed() -> Iterator[None]:
    """No signal but SIGKILL ends the block."""
    before = _ignore()
    try:
        yield
    finally:
        _restore(before)


def _ignore() -> dict[signal.Signals, Handler]:
    return {number: signal.signal(number, signal.SIG_IGN) for number in SIGNALS}


def _restore(before: dict[signal.Signals, Handler]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
