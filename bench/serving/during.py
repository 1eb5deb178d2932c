"""Latencies while something else happens: a champion swap, a materialization of every member, and 500 outcomes a second to learn from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter, sleep, time
from typing import Any

import numpy as np

from bench.serving.load import Address, Load, closed_loop, connect, post, run
from bench.serving.rounds import DIFFERENT, TOGETHER, say
from bench.serving.setup import READY, Home, beside, deciding
from serving import learner_status

CONNECTIONS = 4
"""Of the load meanwhile."""
SECONDS = 8.0
OUTCOMES, BATCH = 500, 10
"""Outcomes a second, and of one request."""
SETTLE = 1.0
"""Seconds of load before and after a process beside it, at least."""
GIVE_UP = 120.0
"""Seconds that what happens beside the load may take."""


@dataclass
class Posted:
    """Outcomes that were sent and how many answers were no 2xx; `late` is how far the sender fell behind, seconds."""

    sent: int = 0
    failed: int = 0
    late: float = 0.0
    seconds: list[float] = field(default_factory=list)


def during(home: Home) -> dict[str, Any]:
    """p50 and p99 of each window, ms, with what a quiet window of the same load gives; failures in all of them."""
    with deciding(home) as server:
        return {"during": _windows(home, server.address)}


def _windows(home: Home, address: Address) -> dict[str, Any]:
    asked = [home.question(int(i)) for i in np.random.default_rng(3).integers(0, home.members, DIFFERENT)]
    kept = run(lambda: closed_loop(address, asked, TOGETHER, count=int(SECONDS * OUTCOMES * 0.6), keep=True))  # two outcomes each, some shown nothing
    quiet = run(lambda: closed_loop(address, asked, CONNECTIONS, seconds=SECONDS))
    say(f"quiet: p99 {quiet.ms(99):.2f} ms")
    swap = run(lambda: _beside(home, address, asked, ["swap", home.versions[1]], home.versions[1]))
    say(f"champion swap: p99 {swap.ms(99):.2f} ms")
    materialized = run(lambda: _beside(home, address, asked, ["materialize", home.at.isoformat()], home.versions[1]))
    say(f"materialization: p99 {materialized.ms(99):.2f} ms")
    answers = [json.loads(body) for body in kept.bodies]
    decisions = [a["decision_id"] for a in answers if a.get("arm")]
    if not decisions:
        raise RuntimeError(f"None of {len(answers)} decisions shows anything, so there is nothing to report outcomes of. Their reasons say why.")
    learning, posted = run(lambda: _learning(home, address, asked, decisions))
    say(f"{OUTCOMES} outcomes a second: p99 {learning.ms(99):.2f} ms")
    windows = {"quiet": quiet, "swap": swap, "materialization": materialized, f"outcomes_{OUTCOMES}_per_s": learning}
    return {name: {"p50_ms": load.ms(50), "p99_ms": load.ms(99)} for name, load in windows.items()} | {
        "failed": sum(load.failed + load.reopened for load in windows.values()),
        "connections": CONNECTIONS,
        "outcomes": {"sent": posted.sent, "failed": posted.failed, "latest_s": round(posted.late, 3), "learned_after_s": _learned(home)},
    }


async def _beside(home: Home, address: Address, asked: Sequence[bytes], words: Sequence[str], version: str) -> Load:
    """Load from before a process starts beside it until after it has ended and `version` decides."""
    whole = await closed_loop(address, asked, CONNECTIONS, seconds=SETTLE)
    process, begin = beside(home, *words), perf_counter()
    try:
        while process.poll() is None or await _champion(address) != version:
            if perf_counter() - begin > GIVE_UP:
                raise RuntimeError(f"`{' '.join(words)}` beside the service did not end, or version {version} did not decide, within {GIVE_UP:g} s.")
            whole.add(await closed_loop(address, asked, CONNECTIONS, seconds=SETTLE))
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    if process.returncode:
        raise RuntimeError(f"`{' '.join(words)}` beside the service failed ({process.returncode}), so nothing was measured. Its own words are above.")
    whole.add(await closed_loop(address, asked, CONNECTIONS, seconds=SETTLE))
    return whole


async def _champion(address: Address) -> object:
    """The version that decides, as the service says it."""
    connection = await connect(address)
    _, body = await connection.send(READY)
    connection.close()
    return json.loads(body)["champion"]


def _learned(home: Home) -> float:
    """Seconds until the learner, which has learned, says that no outcome waits. Raises RuntimeError where it does not get there."""
    said, ended, begin = home.settings.posterior / learner_status.STATUS, time(), perf_counter()
    while perf_counter() - begin < GIVE_UP:
        status = learner_status.read(home.settings.posterior)
        if status is not None and status.answers and status.lag_seconds == 0.0 and said.stat().st_mtime > ended:
            return round(perf_counter() - begin, 2)
        sleep(0.05)
    raise RuntimeError(f"The learner had not learned all outcomes {GIVE_UP:g} s after the last one. It says last: {status}")


async def _learning(home: Home, address: Address, asked: Sequence[bytes], decisions: Sequence[str]) -> tuple[Load, Posted]:
    posted = Posted()
    load, _ = await asyncio.gather(closed_loop(address, asked, CONNECTIONS, seconds=SECONDS), _post(home, address, decisions, posted))
    return load, posted


async def _post(home: Home, address: Address, decisions: Sequence[str], posted: Posted) -> None:
    """OUTCOMES a second on one connection, an impression and a click in turn, at their planned instants or as soon after as the answers allow."""
    connection, clock = await connect(address), asyncio.get_running_loop().time
    begin = clock()
    for turn in range(int(SECONDS * OUTCOMES / BATCH)):
        due = begin + turn * BATCH / OUTCOMES
        await asyncio.sleep(max(0.0, due - clock()))
        posted.late = max(posted.late, clock() - due)
        body = [_outcome(decisions, turn * BATCH + k) for k in range(BATCH)]
        status, _ = await connection.send(post("/v1/outcomes", json.dumps(body).encode(), [f"Authorization: Bearer {home.key}"]))
        posted.sent += BATCH
        posted.failed += BATCH * (status // 100 != 2)  # noqa: PLR2004 - HTTP's class of success
    connection.close()


def _outcome(decisions: Sequence[str], number: int) -> dict[str, str]:
    kind = ("impression", "click")[number % 2]
    decision = decisions[number // 2 % len(decisions)]
    now = datetime.now(UTC).isoformat()  # outcomes happen when they are sent
    return {"outcome_id": f"{kind}-{number}-{decision}", "decision_id": decision, "kind": kind, "occurred_at": now}
