"""How long the service and one of its workers take to start, and what their processes hold in memory."""

from __future__ import annotations

import json
import os
import signal
import time
from statistics import median
from typing import Any

from bench.serving.processes import Server, answers
from bench.serving.rounds import say
from bench.serving.setup import READY, Home, deciding
from training.domain.errors import NotReadyError

KILLS = 3
REST = 1.5
"""Seconds that a worker has lived before it is killed: the supervisor waits with one that has just been started."""
GIVE_UP = 60.0


def start(home: Home) -> dict[str, Any]:
    """Seconds from `rightmatch serve` to its first answer by a champion; from the death of its one worker, by SIGKILL, to that of the next one (the median of
    KILLS); and MB of each process before, with pages that several share counted in parts, so that they add up.
    """
    with deciding(home) as server:
        memory = {name.replace(" ", "_"): server.memory_mb(pid) for name, pid in {"supervisor": _supervisor(server), **_children(server)}.items()}
        again = [_again(server) for _ in range(KILLS)]
    say(f"the service answers after {server.started:.1f} s, a new worker after {median(again):.2f} s; they hold {sum(memory.values()):,.0f} MB")
    total = {"total": round(sum(memory.values()), 1)}
    return {"start": {"service_s": round(server.started, 2), "worker_s": round(median(again), 2), "memory_mb": total | memory}}


def _again(server: Server) -> float:
    time.sleep(REST)
    os.kill(_children(server)["worker 1"], signal.SIGKILL)
    begin = time.perf_counter()
    while not answers(server.address, READY):
        if time.perf_counter() - begin > GIVE_UP:
            raise NotReadyError(f"No new worker answered within {GIVE_UP:g} s, so its start cannot be measured. The end of {server.log} may say why.")
        time.sleep(0.005)
    return time.perf_counter() - begin


def _children(server: Server) -> dict[str, int]:
    """Process ids of workers and learner as they were started last, by name."""
    lines = [json.loads(line) for line in server.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith("{")]
    return {line["child"]: line["pid"] for line in lines if line["event"] == "started" and "child" in line}


def _supervisor(server: Server) -> int:
    lines = [json.loads(line) for line in server.log.read_text(encoding="utf-8", errors="replace").splitlines() if line.startswith("{")]
    return next(int(line["pid"]) for line in lines if line["event"] == "serving")
