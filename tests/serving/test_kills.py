"""Workers and learner killed at random moments under load: what was acknowledged is there, once, and no cap was exceeded."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter

import httpx
import pytest

from tests.serving.callers import Caller, compare
from tests.serving.conftest import serving, wait

KILLS, LEARNERS, CALLERS = 60, 6, 4
"""Processes that are killed, of them at least so many learners, while so many ask."""


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_or_doubled(home):
    """KILLS times SIGKILL to one of two workers or the learner while callers ask; then the log is compared with what they were told."""
    rng, stop = random.Random(11), threading.Event()
    with serving(home, 2) as service:
        wait(lambda: service.ready().status_code == 200)
        callers = [Caller(service, i, stop) for i in range(CALLERS)]
        for caller in callers:
            caller.start()
        killed, done = Counter(), set()
        while sum(killed.values()) < KILLS or killed["learner"] < LEARNERS:
            before = sum(len(c.decisions) for c in callers)
            wait(lambda before=before: sum(len(c.decisions) for c in callers) > before + 1)
            time.sleep(rng.uniform(0.0, 0.2))
            name, pid = rng.choice(sorted(running(service).items()))
            if pid not in done:
                os.kill(pid, signal.SIGKILL)
                killed[name] += 1
                done.add(pid)
        wait(lambda: httpx.get(f"{service.url}/healthz", timeout=5).status_code == 200)
        time.sleep(1.0)
        stop.set()
        for caller in callers:
            caller.join(60)
    compare(home, callers)
    assert sum(len(c.decisions) for c in callers) >= 2 * KILLS


def running(service):
    """Process ids of workers and learner as they were started last."""
    return {str(line["child"]): int(str(line["pid"])) for line in service.said() if line["event"] == "started" and "child" in line}
