"""Waiting for servers to rest: as long as they work, and not for ever."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from bench.serving.rest import BUSY, MOST, WINDOW, processor_seconds, rest

PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"


def waited(*spent: float) -> float:
    """Seconds until servers are at rest that have spent so much by each look, and from the last one on no more."""
    looks, pauses = iter(spent), list[float]()
    assert rest([], lambda _: next(looks, spent[-1]), pauses.append)
    return sum(pauses)


def test_who_rests_is_looked_at_twice():
    """Nothing is spent, and a little is, as by who looks for work some times a second."""
    assert waited(3.0) == 2 * WINDOW
    assert waited(3.0, 3.0 + 0.9 * BUSY * WINDOW, 3.0 + 1.8 * BUSY * WINDOW) == 2 * WINDOW


def test_who_works_is_waited_for():
    """Half a core over two looks, a quiet one, work again, then two quiet ones."""
    half = WINDOW / 2
    assert waited(0.0, half, 2 * half, 2 * half, 3 * half) == 6 * WINDOW


def test_a_process_that_ended_is_no_rest():
    """The sum falls by what it had spent: its successor is only just beginning."""
    assert waited(9.0, 1.0) == 3 * WINDOW


def test_who_never_rests_is_given_up():
    """A core without end."""
    spent = iter(range(10_000))
    pauses: list[float] = []
    assert not rest([], lambda _: float(next(spent)), pauses.append)
    assert sum(pauses) == MOST


def test_children_count_and_who_is_gone_does_not():
    """A parent that waits, its child that works; after both were ended nothing is left to count."""
    process = subprocess.Popen([sys.executable, "-c", PARENT], start_new_session=True)
    try:
        end = time.monotonic() + 20
        while processor_seconds([process.pid]) < 0.5 and time.monotonic() < end:
            time.sleep(0.05)
        assert processor_seconds([process.pid]) >= 0.5
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert processor_seconds([process.pid]) == 0.0
