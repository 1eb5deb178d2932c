"""Experiments as sums: day by day the members who enter each group and what becomes of them. One row an experiment, one column a day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.cohorts import Sums
from training.evaluation.intervals import Floats, Ints

Random = np.random.Generator
Pair = tuple[Sums, Sums]
"""Control, treatment."""
EVEN = 0.5
WEEK = 7
RAMP = (0.10, 0.25, 0.50, 0.75)
AMOUNTS = (np.array([90.0, 150.0, 210.0, 300.0]), np.array([0.35, 0.25, 0.25, 0.15]))
"""What a conversion brings, and how often: about what members of the simulated world spend in a week."""


@dataclass(frozen=True)
class Sizes:
    """`experiments` of `days` of entering members, `daily` of both groups together."""

    experiments: int = 4_000
    days: int = 120
    daily: int = 1_000

    def shape(self) -> tuple[int, int]:
        """Of everything that is drawn."""
        return self.experiments, self.days


def entering(sizes: Sizes, share: Floats | float = EVEN, volume: Floats | float = 1.0) -> tuple[Ints, Ints]:
    """Members of (control, treatment) entering each day [days]; `share` of treatment and `volume` may change by day."""
    daily = np.round(sizes.daily * np.broadcast_to(volume, (sizes.days,)))
    treated = np.round(daily * share)
    return (daily - treated).astype(np.int64), treated.astype(np.int64)


def rates(rng: Random, sizes: Sizes, members: tuple[Ints, Ints], chance: tuple[Floats | float, Floats | float]) -> Pair:
    """Of a 0/1 outcome with the given chances in (control, treatment), each one number or one a day."""
    return zeros_ones(rng, sizes, members[0], chance[0]), zeros_ones(rng, sizes, members[1], chance[1])


def zeros_ones(rng: Random, sizes: Sizes, members: Ints, chance: Floats | float) -> Sums:
    """One group's sums."""
    hits = rng.binomial(members, chance, sizes.shape()).astype(np.float64)
    return Sums(np.broadcast_to(members.astype(np.float64), sizes.shape()), hits, hits)


def earned(rng: Random, conversions: Floats) -> tuple[Floats, Floats]:
    """Sums of the money that `conversions` [...] brought, and of its squares, as if each were another member's."""
    amounts, shares = AMOUNTS
    counts = rng.multinomial(conversions.astype(np.int64), shares).astype(np.float64)
    return counts @ amounts, counts @ amounts**2


def with_money(rng: Random, converted: Sums) -> Sums:
    """What these conversions brought."""
    return Sums(converted.n, *earned(rng, converted.y))


def predicted_rates(rng: Random, sizes: Sizes, members: Ints, levels: tuple[Floats, Floats], shift: float) -> Sums:
    """Members of several risks: (chance, share of members) of each kind; the prediction is the chance that the kind has without treatment."""
    chance, share = levels
    kinds = rng.multinomial(members, share, sizes.shape()).astype(np.float64)
    hits = rng.binomial(kinds.astype(np.int64), np.clip(chance + shift, 0.0, 1.0)).astype(np.float64)
    n, y = kinds.sum(axis=-1), hits.sum(axis=-1)
    return Sums(n, y, y, kinds @ chance, kinds @ chance**2, hits @ chance)


def week(days: int, swing: float) -> Floats:
    """A factor a day that swings by `swing` around 1 over each week."""
    return np.asarray(1.0 + swing * np.sin(2.0 * np.pi * np.arange(days) / WEEK))


def pooled(pair: Pair) -> Pair:
    """All members so far as one cohort: what one gets without cohorts. The last axis is then one of looks."""
    first, second = (Sums(np.cumsum(g.n, axis=-1)[..., None], np.cumsum(g.y, axis=-1)[..., None], np.cumsum(g.yy, axis=-1)[..., None]) for g in pair)
    return first, second
