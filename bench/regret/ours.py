"""The platform's learner as a policy: its number encoder, towers, training, posteriors, draws and selection, on a bandit of one label.

Nothing here learns or chooses by itself. What is added is the calendar: which rounds are played blindly, when the network is trained again on all rows
seen so far (never later than 5% more rows, or 200), and when it starts afresh (at twice the rows, with a new encoder of all of them, scaled by all of them).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from bench.regret.heads import Belief, Head, Kind, plain
from bench.regret.loop import Arms, Rewards
from bench.regret.played import Played, Scale
from training.config.settings import TrainingSettings, UtilitySettings
from training.model.arms import RATES, ArmRows
from training.model.funnel import Stage
from training.model.fused import network
from training.model.numbers import NumberEncoder
from training.model.optimise import Learner
from training.model.posterior import LaplaceLogistic, deviations
from training.model.rows import Kinds, Rows
from training.model.select import Prices, choose, draw_utilities, propensities
from training.model.team import Alone
from training.model.towers import Sizes, Towers

LABEL = Stage.CONVERTED
BLIND, BLIND_AN_ARM = 20, 2
"""Rounds played uniformly at first: BLIND, or BLIND_AN_ARM for each arm if that is more; longer while only one answer was seen."""
GROWTH, SOONEST, LATEST, AFRESH = 0.05, 10, 200, 2
"""The network is trained again after GROWTH more rows, but SOONEST at least and LATEST at most; from new weights at AFRESH times as many rows."""
TOGETHER = 20
"""Rounds decided before their answers are looked at, at most: answers of a moment ago."""
FEWEST_STEPS, MOST_STEPS, ROWS_A_STEP = 20, 100, 10
"""Steps of a training: one for each ROWS_A_STEP rows within these bounds, twice as many from new weights. More would learn few rows by heart."""
PIECES, MOST_PIECES = 6, 512
"""Pieces of each number's range, fewer where there are many numbers."""
SETTINGS = TrainingSettings(batch=256, weight_decay=0.3)
"""Small batches and much decay: there are never more rows than rounds, and no members are kept back to say when to stop."""
WORTH = UtilitySettings(retention=0.0, opt_out=0.0)


@dataclass
class Ours:
    """The platform's learner with one kind of posterior. `nu` 0 is greedy."""

    kind: Kind
    nu: float
    arms: int
    played: Played
    seed: int
    trained: int = 0
    begun: int = 0

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(self.seed)
        names = torch.zeros(self.arms, 3, dtype=torch.int64)
        names[:, 0] = torch.arange(1, self.arms + 1)
        self.kinds = Kinds(names, torch.zeros(self.arms, 1), torch.ones(self.arms, 1))
        self.menu = ArmRows(names, self.kinds.text, torch.zeros(self.arms, len(RATES)), self.kinds.shown)
        self.prices = Prices(torch.ones(1, self.arms), torch.zeros(1, self.arms))
        self.scale: Scale | None = None
        self.encoder: NumberEncoder | None = None
        self.dense = torch.zeros(0)
        self.learner: Learner | None = None
        self.head: Head | None = None

    def unscaled(self) -> bool:
        """Yes: all rows are scaled again whenever it starts afresh."""
        self.played.scales = True
        return True

    def due(self) -> int:
        """Rows at which it wants to be trained again."""
        if not self.trained:
            return max(BLIND, BLIND_AN_ARM * self.arms)
        return self.trained + int(min(max(GROWTH * self.trained, SOONEST), LATEST))

    def patience(self, rounds: int) -> int:
        """TOGETHER at most, and not beyond the next training."""
        return max(1, min(TOGETHER, self.due() - rounds))

    def choose(self, x: npt.NDArray[np.float32]) -> Arms:
        """Uniform while blind; then one draw of the posterior a row, and the arm drawn from the propensities that it gives."""
        if self.head is None or self.encoder is None:
            return torch.randint(self.arms, (len(x),), generator=self.generator).numpy()
        with torch.no_grad():
            phi = self.head.phi(plain(self._encoded(x)), self.menu)
            weights = self.head.posterior.draw(len(x), self.nu, self.generator).to(torch.float32)
            return np.array([self._one(phi[i : i + 1], weights[i : i + 1]) for i in range(len(x))], dtype=np.int64)

    def believed(self, x: npt.NDArray[np.float32]) -> Belief | None:
        """Mean and deviation of each arm's logit under a Laplace posterior; nothing before the first training."""
        if self.head is None:
            return None
        with torch.no_grad():
            phi = self.head.phi(plain(self._encoded(x)), self.menu)
            belief = self.head.posterior
            assert isinstance(belief, LaplaceLogistic)  # noqa: S101 - the only kind that is blended
            spread = deviations(belief.precision, phi.flatten(0, 1)).reshape(phi.shape[:2])
            return Belief((phi @ belief.mean.to(torch.float32)).to(torch.float64), spread)

    def learn(self, x: npt.NDArray[np.float32], arms: Arms, rewards: Rewards) -> None:
        """Remember the answers; train when it is time, otherwise update the posterior."""
        new = self.played.add(x, arms, rewards)
        if self.encoder is not None:
            self.dense[new] = self._encoded(x)
        if self.played.seen >= self.due() and self.played.both:
            self._train(len(x))
        elif self.head is not None:
            rows = self._rows()
            self.head = self.head.learned(rows.batch(torch.arange(new.start, new.stop)), torch.from_numpy(rewards), rows)

    def _one(self, phi: torch.Tensor, weights: torch.Tensor) -> int:
        head = self.head
        assert head is not None  # noqa: S101 - `choose` looked
        utilities = draw_utilities(phi, head.base, {LABEL: weights}, self.prices, WORTH)
        return choose(propensities(utilities, 0.0)[0], self.generator)

    def _train(self, new: int) -> None:
        afresh = self.learner is None or self.played.seen >= AFRESH * self.begun
        if afresh:
            self._encode_afresh()
        rows = self._rows()
        if self.learner is None or afresh:
            sizes = Sizes(SETTINGS.width, (), (self.arms, 0, 0), 1, numeric=rows.numbers, context=0)
            self.learner = Learner(rows, network(Towers(sizes), rows, self.generator), SETTINGS, Alone())
        learner = self.learner
        learner.rows = rows
        steps = min(max(self.played.seen // ROWS_A_STEP, FEWEST_STEPS), MOST_STEPS) * (2 if afresh else 1)
        size = min(SETTINGS.batch, self.played.seen)
        order = torch.randint(self.played.seen, (steps * size,), generator=self.generator)
        learner.epoch(order, torch.zeros(len(order), dtype=torch.bool), torch.ones(1, dtype=torch.bool), size)
        self.trained, self.begun = self.played.seen, self.played.seen if afresh else self.begun
        rewards = torch.from_numpy(self.played.rewards[: self.played.seen])
        if self.head is None or afresh:
            self.head = Head.fit(self.kind, learner.smooth, rows, rewards, SETTINGS.prior_precision, self.seed)
        else:
            self.head = self.head.again(rows, rewards, SETTINGS.prior_precision, new, self.seed)

    def _encode_afresh(self) -> None:
        self.scale = self.played.scale
        seen = self.scale.scaled(self.played.x[: self.played.seen])
        self.encoder = NumberEncoder.fit(lambda i: seen[:, i], seen.shape[1], min(PIECES, MOST_PIECES // seen.shape[1]))
        self.dense = torch.zeros(len(self.played.x), self.encoder.size)
        self.dense[: self.played.seen] = self._encoded(self.played.x[: self.played.seen])

    def _encoded(self, x: npt.NDArray[np.float32]) -> torch.Tensor:
        assert self.scale is not None  # noqa: S101 - made together
        assert self.encoder is not None  # noqa: S101 - the callers looked
        return torch.from_numpy(self.encoder.encode(self.scale.scaled(x)))

    def _rows(self) -> Rows:
        n = self.played.seen
        labels = torch.from_numpy(self.played.rewards[:n].astype(np.int8))[:, None]
        nothing, arm = torch.zeros(n, 0, dtype=torch.uint8), torch.from_numpy(self.played.arms[:n])
        return Rows(
            self.dense.shape[1], self.dense[:n], nothing, arm, torch.zeros(n, len(RATES)), labels, torch.zeros(n, dtype=torch.bool), self.kinds, (LABEL,)
        )


def policy(kind: Kind, nu: float) -> Callable[[int, int, int, int], Ours]:
    """A maker of policies with this kind of posterior; `nu` widens its draws, 0 makes it greedy."""

    def make(columns: int, arms: int, rounds: int, seed: int) -> Ours:
        return Ours(kind, nu, arms, Played.empty(rounds, columns), seed)

    return make
