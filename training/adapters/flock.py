"""A lock on an open file, which the kernel gives back when its process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def locked(handle: int, how: int) -> Iterator[bool]:
    """Whether the file, or folder, open as `handle` could be locked as `how` (of flock(2)) says; it is closed at the end, and so free again."""
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)
