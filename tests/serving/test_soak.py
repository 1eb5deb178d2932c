"""Some thousand decisions and outcomes through one real worker: memory and open files of worker and learner stay where they were after the first ones."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from statistics import median

import httpx
import pytest

from tests.serving.conftest import member, serving, wait
from training.config.settings import Settings
from training.domain.catalog import load_catalog

CALLERS, ROUNDS, WARM, EACH = 4, 13, 6, 90
"""Rounds, of which the first WARM fill what is kept on purpose, and requests of one caller in each."""
GROWTH, POOL = 2 * 2**10 * CALLERS * EACH, 8
"""Bytes by which a process may grow in the middle one of the rounds after that, 2 kB a decision (a cache that is filled is a step in one or two of them);
and handles in all of them: some connections to the log more.
"""


def resident(pid: int) -> int:
    """Bytes of memory that are its own, not shared with the supervisor that it was forked from."""
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(fields[name].split()[0]) * 1024 for name in ("Private_Clean", "Private_Dirty"))


def handles(pid: int) -> int:
    """Files, sockets and pipes that it has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def some(client: httpx.Client, first: int, arms: list[str]) -> int:
    """Ask for EACH members, each with exclusions of its own, tell of an impression and a click where something was shown, look at one; outcomes told."""
    told = 0
    for i in range(first, first + EACH):
        body = {
            "member_id": member(2 + 2 * (i % 190)),
            "surface": ("app", "web")[i % 2],
            "request_id": f"soak-{i}",
            "exclude": [arms[i % len(arms)], f"gone-{i}"],
        }
        answer = client.post("/v1/decisions", json=body).json()
        if answer["arm"]:
            now = datetime.now(UTC).isoformat()
            decision = answer["decision_id"]
            batch = [{"outcome_id": f"{k}-{decision}", "decision_id": decision, "kind": k, "occurred_at": now} for k in ("impression", "click")]
            assert client.post("/v1/outcomes", json=batch).json()["accepted"] == len(batch)
            told += len(batch)
        if i % 50 == 0:
            assert client.get(f"/v1/decisions/{answer['decision_id']}").status_code == 200
            assert client.get("/metrics").status_code == 200
            assert client.post("/v1/decisions", json={"member_id": ""}).status_code == 422
    return told


@pytest.fixture(name="service")
def _service(furnished, tmp_path):
    """One worker without caps, ready."""
    home = tmp_path / "home"
    shutil.copytree(furnished, home)
    open_caps = {f"SERVING__CAPS__{name}": "100000" for name in ("DAY", "WEEK", "CHANNEL_DAY", "CHANNEL_WEEK")}
    with serving(home, 1, **open_caps) as running:
        wait(lambda: running.ready().status_code == 200)
        yield running


def test_memory_and_handles_are_bounded(service):
    """Measured after each round, when the learner has caught up."""
    arms = list(load_catalog(Settings().catalog).arms)
    children = service.children()
    seen: list[dict[str, tuple[int, int]]] = []
    told = 0
    with ThreadPoolExecutor(CALLERS) as threads:
        clients = [service.client() for _ in range(CALLERS)]
        for turn in range(ROUNDS):
            starts = [(turn * CALLERS + caller) * EACH for caller in range(CALLERS)]
            told += sum(threads.map(some, clients, starts, [arms] * CALLERS))
            wait(lambda: gauge(clients[0], "rightmatch_posterior_lag_seconds") < 1.0)
            seen.append({name: (resident(pid), handles(pid)) for name, pid in children.items()})
        for client in clients:
            client.close()
    assert told > 1_000
    assert service.children() == children
    for name in children:
        (memory, files), measured = zip(*(s[name] for s in seen), strict=True), [s[name] for s in seen]
        assert median(after - before for before, after in pairwise(memory[WARM - 1 :])) < GROWTH, (name, measured)
        assert files[-1] - max(files[:WARM]) <= POOL, (name, measured)


def gauge(client: httpx.Client, name: str) -> float:
    """Its value."""
    return next(float(line.split()[1]) for line in client.get("/metrics").text.splitlines() if line.startswith(name + " "))
