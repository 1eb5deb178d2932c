"""What one decision costs in process: features in, exact propensities out, on one thread.

    OPENBLAS_NUM_THREADS=1 python -m bench.serving.inprocess [ARMS ...]

Layer by layer (`policy`'s arithmetic in torch, with draws and arms prepared as well as they can be) is timed in turn with it, so that ratios hold on a
machine that does other things too.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

import numpy as np
import torch

from bench.serving.champion import champion
from training.config.settings import Settings
from training.domain.nouns import Context, Surface
from training.domain.schema import ARM_NUMERIC, MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.model.compiled import Compiled
from training.model.select import Prices, draw_utilities, propensities
from training.model.threads import steady

ARMS = (20, 200, 2_000)
ROUNDS, TIMES, MEMBERS = 40, 25, 100
"""Rounds in which each way is timed in turn, decisions of each round, and members who ask."""
HOURS = (8, 13, 20)
MISSING = 0.1
"""Share of a member's counts that nobody knows."""

Timed = Callable[[dict[str, object], Context], object]


def measure(arms: Sequence[int], seed: int = 1) -> Iterator[dict[str, object]]:
    """One line for each number of arms: milliseconds a decision, compiled and layer by layer, and where the compiled ones go. Trains a champion for each."""
    steady()
    for count in arms:
        yield _timed(Compiled.build(*champion(count, seed), Settings(), "1"), seed)


def _timed(found: Compiled, seed: int) -> dict[str, object]:
    rng = np.random.default_rng([seed, 52])
    ready = found.with_arms({a: dict(zip(ARM_NUMERIC, (rng.poisson((900, 20, 40, 2))).astype(float), strict=True)) for a in found.arm_ids}, "now")
    menu, asked = tuple(range(len(ready.arm_ids))), list(_members(ready, rng))
    ways: dict[str, Timed] = {
        "decision": lambda features, context: ready.score(features, context, menu),
        "layer_by_layer": lambda features, context: _by_layers(ready, features, context),
        "reading": lambda features, _: ready.members.read(features),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            taken[name] += _round(way, asked, rng)
    median = {name: round(float(np.median(ms)), 4) for name, ms in taken.items()}
    return {
        "arms": len(menu) - 1,
        "draws": ready.settings.exploration.draws,
        "heads": {head.stage.value: head.form.name.lower() for head in ready.kernel.heads.heads},
        "p50_ms": median["decision"],
        "p99_ms": round(float(np.quantile(taken["decision"], 0.99)), 4),
        "least_ms": round(min(taken["decision"]), 4),
        "layer_by_layer_p50_ms": median["layer_by_layer"],
        "ratio": round(median["layer_by_layer"] / median["decision"], 1),
        "of_which_ms": {"reading": median["reading"], "machine_code": round(median["decision"] - median["reading"], 4)},
        "anew_least_ms": {
            "posterior": round(min(_times(lambda: ready.with_heads(ready.model.heads, 1))), 1),
            "rates": round(min(_times(lambda: ready.with_arms({}, "then"))), 1),
        },
    }


def _round(way: Timed, asked: Sequence[tuple[dict[str, object], Context]], rng: np.random.Generator) -> Iterator[float]:
    for i in rng.integers(0, len(asked), TIMES):
        start = perf_counter()
        way(*asked[i])
        yield 1000 * (perf_counter() - start)


def _times(way: Callable[[], object]) -> Iterator[float]:
    for _ in range(ROUNDS):
        start = perf_counter()
        way()
        yield 1000 * (perf_counter() - start)


def _by_layers(ready: Compiled, features: dict[str, object], context: Context) -> torch.Tensor:
    """The same probabilities by `select`."""
    codes = ready.shelf.codes[torch.from_numpy(ready.shelf.row)][None]
    prices = Prices(ready.shelf.book.value[codes], ready.shelf.book.cost[codes])
    with torch.no_grad():
        phi = torch.from_numpy(ready.phi(features, context, range(len(ready.arm_ids))))[None]
        utilities = draw_utilities(phi, ready.model.towers.sizes.base, ready.drawn, prices, ready.settings.utility)
        return propensities(utilities, ready.settings.exploration.epsilon)


def _members(ready: Compiled, rng: np.random.Generator) -> Iterator[tuple[dict[str, object], Context]]:
    """Members with counts of the usual sizes."""
    for i in range(MEMBERS):
        counts = [None if rng.random() < MISSING else float(x) for x in rng.poisson(rng.choice([1, 10, 300], len(MEMBER_NUMERIC)))]
        words = [str(rng.choice(known)) if known else None for known in ready.model.members.vocabulary]
        features: dict[str, object] = {**dict(zip(MEMBER_NUMERIC, counts, strict=True)), **dict(zip(MEMBER_CATEGORICAL, words, strict=True))}
        yield features, Context(Surface.WEB, HOURS[i % len(HOURS)], i % 7)


if __name__ == "__main__":
    for line in measure([int(a) for a in sys.argv[1:]] or ARMS):
        print(json.dumps(line), flush=True)
