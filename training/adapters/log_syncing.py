"""What is known of the syncs of a file by all threads of a process: who is at one, since when, and whether one has failed."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from sqlalchemy import Engine

SLOW = 0.1
"""Seconds of a sync after which its disk is not to be waited for by an event loop: a file system that does not get through soon stops writes too."""


class Syncing:
    """What the threads of a process share that sync one file: they take turns, as the kernel tells of a failure once; whether one has failed, and how many.
    Since when (`monotonic`) a thread, and the kernel, have been at a sync, or `never`.
    """

    never = float("inf")

    def __init__(self) -> None:
        self.turn, self.doubt, self.failures = threading.Lock(), False, 0
        self.thread = self.kernel = self.never

    @property
    def slow(self) -> bool:
        """Whether a sync has been under way for SLOW."""
        return min(self.thread, self.kernel) + SLOW < time.monotonic()

    def failed(self) -> None:
        """From now on nothing is kept that was not moved."""
        self.doubt, self.failures = True, self.failures + 1


_syncing: dict[Path, Syncing] = {}


def syncing(engine: Engine) -> Syncing:
    """That of the file of `engine`."""
    return _syncing.setdefault(Path(str(engine.url.database)), Syncing())
