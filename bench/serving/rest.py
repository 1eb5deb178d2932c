"""Waiting until servers have done what their last turn left them: a worker that restarts, outcomes still to be learned. It would count against who is next."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import psutil  # type: ignore[import-untyped]

WINDOW, BUSY, MOST = 0.25, 0.15, 30.0
"""Seconds of one look; the share of a core below which all servers together are at rest; seconds that are waited at most."""


def rest(pids: Sequence[int], spent: Callable[[Sequence[int]], float] | None = None, pause: Callable[[float], None] = time.sleep) -> float | None:
    """Wait until these processes and their children are at rest, in two looks running. Seconds that this took; None where it took MOST, and was given up.

    `spent` gives the processor seconds of all of them so far.
    """
    count, waited, quiet = spent or processor_seconds, 0.0, 0
    before = count(pids)
    while quiet < 2:  # noqa: PLR2004 - looks
        if waited >= MOST:
            return None
        pause(WINDOW)
        waited += WINDOW
        now = count(pids)
        quiet = quiet + 1 if now >= before and now - before < BUSY * WINDOW else 0  # less than before: one of them has ended, and is replaced
        before = now
    return waited


def processor_seconds(pids: Sequence[int]) -> float:
    """Of the processes and all their children that live."""
    found = 0.0
    for pid in pids:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    times = one.cpu_times()
                    found += times.user + times.system
    return found
