"""Waiting until servers have done what their last turn left them: a worker that restarts, outcomes still to be learned. It would count against who is next."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil  # type: ignore[import-untyped]

WINDOW, BUSY, MOST = 0.25, 0.15, 30.0
"""Seconds of one look; the share of a core below which all servers together are at rest; seconds that are waited at most."""


def processor_seconds(pids: Sequence[int]) -> float:
    """What these processes and all their children that live have spent so far."""
    found = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    found += times.user + times.system
    return found


def rest(pids: Sequence[int], spent: Callable[[Sequence[int]], float] = processor_seconds, pause: Callable[[float], None] = time.sleep) -> bool:
    """Wait until these processes and their children are at rest, in two looks running; False where they were not within MOST seconds."""
    before, quiet = spent(pids), 0
    for _ in range(int(MOST / WINDOW)):
        pause(WINDOW)
        now = spent(pids)
        quiet = quiet + 1 if now >= before and now - before < BUSY * WINDOW else 0  # less than before: one of them has ended, and is replaced
        if quiet == 2:  # noqa: PLR2004 - looks
            return True
        before = now
    return False
