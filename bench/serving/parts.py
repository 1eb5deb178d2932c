"""The parts of the benchmark: beside Feast's server, by workers, by arms."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.serving import feast_server
from bench.serving.feast_server import PACKED, STOCK, Variant
from bench.serving.rounds import Contender, Figures, Plan, measure, say
from bench.serving.setup import Home, build, deciding, sync_ms, without_disk

ARMS = (20, 200, 2_000)
LEAST, MOST, CELLS = 6_000, 20_000, 12_000_000
"""Rows of the log that a champion of another number of arms is trained on, and rows times arms: a decision costs the same whatever was learned."""
WORKERS = (1, 2)
TUNED = {"feast_tuned_sqlite": Variant(STOCK, tuned=True), "feast_tuned_packed": Variant(PACKED, tuned=True)}
PLAIN = "feast_stock"
IN_MEMORY = "decision_without_disk"
"""The service with its log in memory."""


def http(home: Home, feast: Path, plan: Plan) -> dict[str, Any]:
    """The service and Feast's server in turns: tuned over both online stores, and stock over its own."""
    with contextlib.ExitStack() as stack:
        memory_home = stack.enter_context(without_disk(home))  # copied while nobody uses it
        contenders = {"decision": _service(stack, home)}
        if memory_home is not None:
            contenders[IN_MEMORY] = _service(stack, memory_home)
        for name, variant in {**TUNED, PLAIN: Variant(STOCK, tuned=False)}.items():
            contenders[name] = _feast(stack, feast, variant)
        found = measure(contenders, home.members, plan, seed=2)
        sync = sync_ms(home.settings.home)
    return compared(found) | {"sync_ms": sync}


def compared(found: Mapping[str, Figures]) -> dict[str, Any]:
    """The report of `http`. Of the two tuned servers the better one counts, figure by figure; `feast_server_store` says which."""
    ours, both = found["decision"].short(), {name.removeprefix("feast_tuned_"): found[name].short() for name in TUNED}
    best = {figure: (max if figure == "rps" else min)(both, key=lambda store: both[store][figure]) for figure in ours}
    tuned = {figure: both[store][figure] for figure, store in best.items()}
    return {
        "decision": ours,
        "feast_server": tuned,
        "feast_server_stock": found[PLAIN].short(),
        "ratio": _ratio(ours, tuned),
        **({"ratio_without_disk": _ratio(found[IN_MEMORY].short(), tuned)} if IN_MEMORY in found else {}),
        "feast_server_store": best,
        **({IN_MEMORY: found[IN_MEMORY].short()} if IN_MEMORY in found else {}),
        "feast_server_by_store": both,
        "detail": {name: figures.detail() for name, figures in found.items()},
    }


def workers(home: Home, folder: Path, plan: Plan) -> dict[str, dict[str, float]]:
    """Answers a second by worker processes, in turns."""
    with contextlib.ExitStack() as stack:
        contenders = {str(n): _service(stack, home.on(folder / f"workers_{n}"), n) for n in WORKERS}
        return {"workers": {name: figures.short()["rps"] for name, figures in measure(contenders, home.members, plan.half(), seed=4).items()}}


def arms(home: Home, folder: Path, at: datetime, plan: Plan, counts: Sequence[int] = ARMS) -> dict[str, dict[str, dict[str, float]]]:
    """Figures by number of arms, in turns."""
    homes = {}
    for n in counts:
        rows = max(LEAST, min(MOST, CELLS // n))
        if n != home.arms:
            say(f"training a champion over {n:,} arms on {rows:,} rows")
        homes[n] = home if n == home.arms else build(folder / f"arms_{n}", n, home.members, at, seed=1, rows=rows)
    with contextlib.ExitStack() as stack:
        contenders = {str(n): _service(stack, each) for n, each in homes.items()}
        return {"arms": {name: figures.short() for name, figures in measure(contenders, home.members, plan.half(), seed=5).items()}}


def _ratio(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    return {name: round(ours[figure] / theirs[figure], 3) for name, figure in (("p50", "p50_ms"), ("p99", "p99_ms"), ("throughput", "rps"))}


def _feast(stack: contextlib.ExitStack, feast: Path, variant: Variant) -> Contender:
    server = stack.enter_context(feast_server.serving(feast, variant))
    say(f"Feast's server, {feast_server.name_of(variant)}, answers after {server.started:.1f} s")
    return Contender(server.address, lambda i: feast_server.question(i, variant.tuned), server.process.pid)


def _service(stack: contextlib.ExitStack, home: Home, workers: int = 1) -> Contender:
    server = stack.enter_context(deciding(home, workers))
    return Contender(server.address, home.question, server.process.pid)
