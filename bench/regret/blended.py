"""The platform's network and its disjoint regressions, blended by what each predicted of answers not yet seen: the default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from bench.regret.beside import Beside
from bench.regret.heads import Belief, Kind
from bench.regret.loop import Arms, Rewards
from bench.regret.ours import TOGETHER, Ours
from bench.regret.ours import policy as network
from bench.regret.played import Played
from training.model.blend import Blend
from training.model.select import choose, propensities

OPTIMISM, NU = 0.5, 0.3
"""A draw stands OPTIMISM + NU z deviations above the mean, z standard normal: a part of what LinUCB adds, and a draw."""
FEWEST, RENEW = 30, 0.1
"""Answers that the blend needs, and after how many more of them it is made again; the newer half of the rounds is looked at."""
LARGEST = 6.0
"""Logits beyond are cut before they are compared: one confident error must not decide."""


@dataclass
class Blended:
    """`beside` decides alone until the network has predicted FEWEST answers. `told` [rounds, 2] are both logits of what was chosen, NaN where one had none."""

    beside: Beside
    deep: Ours
    told: torch.Tensor
    generator: torch.Generator
    blend: Blend = field(default_factory=lambda: Blend.equal(2))
    blended: int = 0
    ready: bool = False
    pending: torch.Tensor | None = None

    def unscaled(self) -> bool:
        """Both scale the rows that they remember."""
        self.beside.played.scales = self.deep.played.scales = True
        return True

    def patience(self, rounds: int) -> int:
        """TOGETHER at most, and not beyond the next training of either."""
        soonest = min(self.beside.due(), self.deep.due())
        return max(1, min(TOGETHER, soonest - rounds))

    def choose(self, x: npt.NDArray[np.float32]) -> Arms:
        """Uniform while blind; then one draw a row, and the arm drawn from the propensities that it gives."""
        first, second = self.beside.believed(x), self.deep.believed(x)
        self.pending = None
        if first is None:
            return torch.randint(self.beside.arms, (len(x),), generator=self.generator).numpy()
        blend = self.blend if self.ready else Blend.equal(1)
        beliefs = [first, second] if self.ready and second is not None else [first]
        arms = self._drawn(blend, beliefs)
        if second is not None:
            self.pending = torch.stack([b.mean[torch.arange(len(x)), arms].clamp(-LARGEST, LARGEST) for b in (first, second)], dim=1)
        return arms.numpy()

    def learn(self, x: npt.NDArray[np.float32], arms: Arms, rewards: Rewards) -> None:
        """Both learn; the blend is made again when it is time."""
        new = slice(self.beside.played.seen, self.beside.played.seen + len(x))
        if self.pending is not None:
            self.told[new] = self.pending
        self.beside.learn(x, arms, rewards)
        self.deep.learn(x, arms, rewards)
        if new.stop >= (1 + RENEW) * self.blended:
            self._blend(new.stop)

    def _drawn(self, blend: Blend, beliefs: list[Belief]) -> torch.Tensor:
        mean, deviation = torch.stack([b.mean for b in beliefs]), torch.stack([b.deviation for b in beliefs])
        noise = OPTIMISM + NU * torch.randn((*mean.shape[1:], 1), generator=self.generator, dtype=torch.float64)
        p = propensities(blend.utilities(mean, deviation, noise), 0.0)
        return torch.tensor([choose(row, self.generator) for row in p])

    def _blend(self, seen: int) -> None:
        newer = slice(seen // 2, seen)
        known = ~self.told[newer].isnan().any(dim=1)
        logits, answers = self.told[newer][known], torch.from_numpy(self.beside.played.rewards[newer])[known]
        self.blended = seen
        if len(answers) >= FEWEST and 0 < float(answers.sum()) < len(answers):
            self.blend, self.ready = Blend.fit(logits, answers), True


def blended() -> Callable[[int, int, int, int], Blended]:
    """A maker of the default policy."""

    def make(columns: int, arms: int, rounds: int, seed: int) -> Blended:
        deep = network(Kind.LAPLACE, 1.0)(columns, arms, rounds, seed)
        told = torch.full((rounds, 2), torch.nan, dtype=torch.float64)
        return Blended(Beside(arms, Played.empty(rounds, columns), seed), deep, told, torch.Generator().manual_seed(seed + 1))

    return make
