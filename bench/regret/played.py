"""The rounds that were played so far: what a policy of the benchmark remembers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.regret.loop import Arms, Rewards


@dataclass
class Played:
    """Rows x [rounds, columns], arms and rewards [rounds]; the first `seen` of them were played."""

    x: npt.NDArray[np.float32]
    arms: Arms
    rewards: Rewards
    seen: int = 0

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
    def both(self) -> bool:
        """Whether both answers were seen: from one alone there is nothing to learn."""
        return bool(0 < self.rewards[: self.seen].sum() < self.seen)
