"""A disk that is full under a running service: the kernel refuses to let any file of its processes grow (RLIMIT_FSIZE), those of its own logs included."""

from __future__ import annotations

import random
import resource
import signal
import threading
from contextlib import contextmanager
from datetime import UTC, datetime

import httpx
import psutil
import pytest
from sqlalchemy import select

from tests.serving.callers import Caller, compare
from tests.serving.conftest import member, serving, wait
from training.adapters.decision_log import DecisionLog
from training.adapters.log_engine import reading
from training.adapters.log_tables import answer_table
from training.config.settings import Settings

CALLERS, FULL, ANSWERS = 4, 6, 3
"""Those who ask, how often the disk is full, and how many more answers each caller must get in between."""
NOBODY = resource.RLIM_INFINITY


def limit(service, most):
    """Let no file of the service grow beyond `most` bytes; the supervisor first, so that whatever it starts meanwhile is limited too."""
    supervisor = psutil.Process(service.process.pid)
    for process in (supervisor, *supervisor.children()):
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (most, NOBODY))


@contextmanager
def full(service, most):
    """The disk is full until the block ends."""
    limit(service, most)
    try:
        yield
    finally:
        limit(service, NOBODY)


def learned(home, decision):
    """Whether an answer to that decision went into the posterior."""
    log = DecisionLog(Settings(home=home).log_url)
    with reading(log.engine) as connection:
        found = connection.execute(select(answer_table.c.seq).where(answer_table.c.decision_id == decision)).first()
    log.engine.dispose()
    return found is not None


def lag(client):
    """Seconds that the learner is behind."""
    return next(float(line.split()[1]) for line in client.get("/metrics").text.splitlines() if line.startswith("rightmatch_posterior_lag_seconds "))


@pytest.mark.slow
def test_what_was_acknowledged_outlives_a_full_disk(home):
    """Nothing is acknowledged that cannot be kept, by a 503 that says so; what needs no writing goes on; with space everybody is answered again, also by a
    worker that was started without any; and the log is what callers were told.
    """
    rng, stop, wal = random.Random(5), threading.Event(), home / "decisions.db-wal"
    with serving(home, 2) as service, service.client() as client:
        wait(lambda: service.ready().status_code == 200)
        callers = [Caller(service, i, stop) for i in range(CALLERS)]
        for caller in callers:
            caller.start()
        wait(lambda: all(caller.decisions for caller in callers))
        kept = next(iter(callers[0].decisions.values()))["decision_id"]
        for turn in range(FULL):
            refused = [caller.refused for caller in callers]
            with full(service, rng.randrange(wal.stat().st_size) if turn else 0):
                if turn == FULL - 1:
                    kill_a_worker(service)
                wait(lambda refused=refused: all(c.refused > before for c, before in zip(callers, refused, strict=True)))
                assert httpx.get(f"{service.url}/healthz", timeout=60).status_code == 200
                assert client.get(f"/v1/decisions/{kept}").json()["decision_id"] == kept
            answered = [len(caller.decisions) for caller in callers]
            wait(lambda answered=answered: all(len(c.decisions) >= before + ANSWERS for c, before in zip(callers, answered, strict=True)))
        stop.set()
        for caller in callers:
            caller.join(60)
        told = report(client)
        wait(lambda: learned(home, told))
        wait(lambda: lag(client) < 1.0)
        assert told in {outcome["outcome_id"] for outcome in client.get(f"/v1/decisions/{told}").json()["outcomes"]}
    compare(home, callers)


def kill_a_worker(service):
    """By SIGKILL; another one is there afterwards."""
    before = {p.pid for p in psutil.Process(service.process.pid).children()}
    psutil.Process(service.workers()[0]).send_signal(signal.SIGKILL)
    wait(lambda: len({p.pid for p in psutil.Process(service.process.pid).children()} - before) == 1)


def report(client):
    """A click on a new decision, whose id it has too."""
    for who in range(302, 398, 2):
        answer = client.post("/v1/decisions", json={"member_id": member(who), "surface": "outbound"}).json()
        if answer["arm"]:
            name = answer["decision_id"]
            click = {"outcome_id": name, "decision_id": name, "kind": "click", "occurred_at": datetime.now(UTC).isoformat()}
            assert client.post("/v1/outcomes", json=click).status_code == 200
            return name
    raise AssertionError("nobody is shown anything")
