"""Random bits for ids and draws, taken from the system many at a time: each call lets the lock of the interpreter go, which may take long to come back."""

from __future__ import annotations

import os
import threading
from datetime import datetime

AT_ONCE = 4_096
"""Bytes."""
TIME_DIGITS, CHANCE_BYTES = 12, 10


class Chance:
    """The system's own random bytes, each given once, to any thread. One instance a process: a fork would give the same ones again."""

    def __init__(self) -> None:
        self._lock, self._process = threading.Lock(), 0
        self._held, self._at = b"", 0

    def take(self, count: int) -> bytes:
        """`count` bytes that nobody has seen or will see."""
        with self._lock:
            if self._at + count > len(self._held) or self._process != os.getpid():
                self._held, self._at, self._process = os.urandom(AT_ONCE), 0, os.getpid()
            self._at += count
            return self._held[self._at - count : self._at]

    def uniform(self) -> float:
        """A draw from [0, 1) with 53 bits."""
        return (int.from_bytes(self.take(7), "little") >> 3) * 2.0**-53

    def name(self, at: datetime) -> str:
        """A new id of 32 hexadecimal digits: the millisecond of `at`, then 80 random bits. Ids of one time lie side by side in an index: fewer pages change."""
        return f"{int(at.timestamp() * 1e3) & ((1 << 48) - 1):0{TIME_DIGITS}x}{self.take(CHANCE_BYTES).hex()}"


CHANCE = Chance()
