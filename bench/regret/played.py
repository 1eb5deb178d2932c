"""The rounds that were played so far: what a policy of the benchmark remembers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from bench.regret.loop import Arms, Rewards
from bench.regret.problem import STANDARD_LIMIT, Floats, divisors


@dataclass(frozen=True)
class Scale:
    """Columns less `mean` [d], divided by `deviation` [d] and cut at `limit`: what the rows up to some round say, for these and for later ones alike."""

    mean: Floats
    deviation: Floats
    limit: float

    @classmethod
    def of(cls, rows: npt.NDArray[np.float32]) -> Self:
        """Statistics of `rows` [n, d], at least one."""
        exact = rows.astype(np.float64)
        deviation = exact.std(axis=0)
        return cls(exact.mean(axis=0), divisors(deviation, np.abs(exact).max(axis=0)), STANDARD_LIMIT)

    @classmethod
    def none(cls, columns: int) -> Self:
        """Rows stay as they are."""
        return cls(np.zeros(columns), np.ones(columns), np.inf)

    def scaled(self, rows: npt.NDArray[np.float32]) -> Floats:
        """Float64 [n, d]; a column's equal values stay equal."""
        return np.asarray(np.clip((rows.astype(np.float64) - self.mean) / self.deviation, -self.limit, self.limit))


@dataclass
class Played:
    """Rows x [rounds, columns], arms and rewards [rounds]; the first `seen` of them were played. Where it `scales`, rows come unscaled."""

    x: npt.NDArray[np.float32]
    arms: Arms
    rewards: Rewards
    seen: int = 0
    scales: bool = False

    @classmethod
    def empty(cls, rounds: int, columns: int) -> Played:
        """Room for all rounds."""
        return cls(np.zeros((rounds, columns), dtype=np.float32), np.zeros(rounds, dtype=np.int64), np.zeros(rounds, dtype=np.float32))

    def add(self, x: npt.NDArray[np.float32], arms: Arms, rewards: Rewards) -> slice:
        """Remember some rounds; where they stand."""
        new = slice(self.seen, self.seen + len(x))
        self.x[new], self.arms[new], self.rewards[new] = x, arms, rewards
        self.seen = new.stop
        return new

    @property
    def scale(self) -> Scale:
        """By the rows so far, of which there is one at least; none where they came scaled."""
        return Scale.of(self.x[: self.seen]) if self.scales else Scale.none(self.x.shape[1])

    @property
    def both(self) -> bool:
        """Whether both answers were seen: from one alone there is nothing to learn."""
        return bool(0 < self.rewards[: self.seen].sum() < self.seen)
