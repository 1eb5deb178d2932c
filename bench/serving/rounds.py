"""Servers measured in turns, so that what the machine does besides falls on all alike; what a server does after its turn falls on none."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

import numpy as np

from bench.serving.load import Address, Load, closed_loop, percentile, run
from bench.serving.rest import MOST, rest

TOGETHER = 16
"""Connections of the throughput, each with one request under way; one connection gives the latencies."""
SKIP = 0.05
"""Share of each turn's first answers that is not counted: there caches fill again."""
DIFFERENT = 4_096
"""Requests prepared for each server; they are sent in turn."""


@dataclass(frozen=True)
class Contender:
    """A server, the bytes that ask it about member `i`, and its process, where that is ours to watch."""

    address: Address
    question: Callable[[int], bytes]
    pid: int | None = None


@dataclass(frozen=True)
class Plan:
    """Rounds; in each one, requests of one connection and seconds of TOGETHER connections."""

    rounds: int = 5
    alone: int = 400
    seconds: float = 3.0

    def half(self) -> Plan:
        """Half the rounds, rounded up: for what is compared with nobody else."""
        return replace(self, rounds=(self.rounds + 1) // 2)


@dataclass
class Figures:
    """What the rounds gave: latencies of both, answers a second of each round, failures and reopened connections."""

    alone: list[float] = field(default_factory=list)
    together: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    p50s: list[float] = field(default_factory=list)
    failed: int = 0
    reopened: int = 0

    def add(self, alone: Load, together: Load) -> None:
        """Another round."""
        kept = alone.seconds[int(len(alone.seconds) * SKIP) :]
        self.alone += kept
        self.p50s.append(percentile(kept, 50))
        self.together += together.seconds[int(len(together.seconds) * SKIP) :]
        self.rates.append(together.rps)
        self.failed += alone.failed + together.failed
        self.reopened += alone.reopened + together.reopened

    def short(self) -> dict[str, float]:
        """The three figures: latencies of one connection, the median round's throughput of TOGETHER."""
        return {"p50_ms": percentile(self.alone, 50), "p99_ms": percentile(self.alone, 99), "rps": round(median(self.rates), 1)}

    def detail(self) -> dict[str, Any]:
        """What else was seen."""
        loaded = {"p50_ms": percentile(self.together, 50), "p99_ms": percentile(self.together, 99)}
        spread = {"p50_ms_by_round": self.p50s, "rps_by_round": [round(r, 1) for r in self.rates]}
        return {f"loaded_{TOGETHER}": loaded, **spread, "answers": len(self.alone) + len(self.together), "failed": self.failed, "reopened": self.reopened}


def measure(contenders: Mapping[str, Contender], members: int, plan: Plan, seed: int) -> dict[str, Figures]:
    """Figures by name; every server is asked about the same members in the same order, while all of them have nothing else to do. A round of half the size
    warms up.
    """
    pids = [c.pid for c in contenders.values() if c.pid is not None]
    asked = np.random.default_rng(seed).integers(0, members, DIFFERENT)
    requests = {name: [c.question(int(i)) for i in asked] for name, c in contenders.items()}
    found = {name: Figures() for name in contenders}
    for turn in range(plan.rounds + 1):
        for name, contender in contenders.items():
            part = _from(requests[name], turn / (plan.rounds + 1))
            if not rest(pids):
                say(f"before {name}: a server has been busy for {MOST:.0f} s without being asked, which is measured too")
            alone, together = _turn(contender.address, part, plan, 1.0 if turn else 0.5)
            if turn:
                found[name].add(alone, together)
                say(f"round {turn} of {plan.rounds}, {name}: p50 {alone.ms(50):.2f} ms, {together.rps:,.0f} a second")
    return found


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def _turn(address: Address, requests: Sequence[bytes], plan: Plan, share: float) -> tuple[Load, Load]:
    async def both() -> tuple[Load, Load]:
        alone = await closed_loop(address, requests, 1, count=max(1, int(plan.alone * share)))
        await asyncio.sleep(0.05)
        return alone, await closed_loop(address, requests[::-1], TOGETHER, seconds=plan.seconds * share)

    return run(both)


def _from(requests: Sequence[bytes], share: float) -> list[bytes]:
    cut = int(len(requests) * share)
    return [*requests[cut:], *requests[:cut]]
