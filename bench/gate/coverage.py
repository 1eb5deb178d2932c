"""How often a sequence loses the truth at any look at all: each end, over all looks together. Nominal: at most alpha an end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from bench.gate.judged import ALPHA, Flags, exact, half_width
from bench.gate.scenarios import RISKS
from bench.gate.worlds import Random, Sizes, entering, predicted_rates, rates
from training.evaluation.bounded import sequences, tuned
from training.evaluation.cohorts import Difference, Sums, difference
from training.evaluation.sequential import planned_error

DAYS = 90
Draw = Callable[[Random, Sizes], tuple[Difference, float, float]]
"""-> the difference, its truth, and the distance for which the sequence is planned."""


def coverage(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """Share of experiments whose sequence held the truth at every look, by sequence: the worse of its two ends, with its exact interval."""
    out = {name: _held(*draw(rng, replace(sizes, days=DAYS))) for name, draw in DRAWS.items()}
    return {**out, "bounded_mean": _bounded(rng, sizes)}


def _held(found: Difference, truth: float, distance: float) -> dict[str, Any]:
    half = half_width(found, planned_error(distance, ALPHA))
    return _worse(found.value - half > truth, found.value + half < truth)


def _worse(over: Flags, under: Flags) -> dict[str, Any]:
    lost = max(int(side.any(axis=1).sum()) for side in (over, under))
    low, high = exact(len(over) - lost, len(over))
    return {"held": 1.0 - lost / len(over), "interval": [low, high], "nominal": 1.0 - ALPHA}


def _bounded(rng: Random, sizes: Sizes) -> dict[str, Any]:
    truth = 0.95
    hits = rng.binomial(sizes.daily, truth, (sizes.experiments, DAYS)).astype(float)
    rho = tuned((1.0 - truth) * truth * sizes.daily * DAYS, ALPHA)
    low, high = sequences((np.full(DAYS, float(sizes.daily)), hits, hits), (0.0, 1.0), rho, ALPHA)
    return {**_worse(low > truth, high < truth), "half_width_at_the_end": float((high - low)[:, -1].mean() / 2)}


def _even(chance: float, distance: float) -> Draw:
    return lambda rng, sizes: (difference(*rates(rng, sizes, entering(sizes), (chance, chance))), 0.0, distance)


def _money(rng: Random, sizes: Sizes) -> tuple[Difference, float, float]:
    """5% pay a lognormal amount of mean 20, from a pool of drawn days."""
    pool = np.where(rng.random((4000, sizes.daily // 2)) < PAYING, 20.0 * np.exp(rng.normal(size=(4000, sizes.daily // 2)) - 0.5), 0.0)
    total, square = pool.sum(axis=1), np.square(pool).sum(axis=1)
    n = np.full(sizes.shape(), sizes.daily / 2)
    days = rng.integers(0, len(pool), (2, *sizes.shape()))
    return difference(*(Sums(n, total[d], square[d]) for d in days)), 0.0, 0.3


def _predicted(rng: Random, sizes: Sizes) -> tuple[Difference, float, float]:
    return difference(*(predicted_rates(rng, sizes, n, RISKS, 0.0) for n in entering(sizes))), 0.0, 0.005


PAYING = 0.05
DRAWS: dict[str, Draw] = {
    "difference_at_95_percent": _even(0.95, 0.005),
    "difference_at_1_percent": _even(0.01, 0.002),
    "difference_at_0.2_percent": _even(0.002, 0.001),
    "amounts": _money,
    "with_predictions": _predicted,
}
