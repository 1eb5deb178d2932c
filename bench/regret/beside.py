"""The platform's disjoint regressions on numbers and landmarks as a learner: here too only the calendar is added."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from bench.regret.heads import Belief
from bench.regret.loop import Arms, Rewards
from bench.regret.played import Played, Scale
from training.model.basis import Basis
from training.model.disjoint import Beliefs, Disjoint

FIRST = 8
"""Answers that it begins with, or one an arm if that is more; later while all are the same."""
LANDMARKS, AFRESH, ROUNDS = 100, 2, 5
"""Members that become landmarks; a new basis is made at AFRESH times as many rows, and ROUNDS steps of evidence are taken then, one at other times."""
GROWTH, LATEST = 0.04, 50
"""Beliefs are renewed after GROWTH more rows, but not later than after LATEST."""
HALF, STEEPEST = 0.5, 4.0
"""A line through probability 1/2 as a logit: dp = p (1 - p) dlogit."""


@dataclass
class Beside:
    """One Bayesian linear regression an arm: `renewed` and `begun` count the rows at the last renewal and at the last new basis, which scales all of them."""

    arms: int
    played: Played
    seed: int
    renewed: int = 0
    begun: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng([self.seed, 3])
        self.scale: Scale | None = None
        self.basis: Basis | None = None
        self.rows: Disjoint | None = None
        self.beliefs: Beliefs | None = None

    def due(self) -> int:
        """Rows at which it wants to learn again."""
        if self.beliefs is None:
            return max(FIRST, self.arms)
        return self.renewed + max(1, min(int(GROWTH * self.renewed), LATEST))

    def believed(self, x: npt.NDArray[np.float32]) -> Belief | None:
        """Mean and deviation of each arm's probability, on the logit's scale; nothing before the first answers."""
        if self.beliefs is None:
            return None
        mean, deviation = self.beliefs.predict(self._phi(x))
        return Belief(STEEPEST * (mean - HALF), STEEPEST * deviation)

    def learn(self, x: npt.NDArray[np.float32], arms: Arms, rewards: Rewards) -> None:
        """Add the answers up; renew the beliefs when it is time."""
        new = self.played.add(x, arms, rewards)
        if self.rows is not None:
            self.rows = self._added(self.rows, new)
        if self.played.seen >= self.due() and self.played.both:
            self._renew()

    def _renew(self) -> None:
        afresh = self.rows is None or self.played.seen >= AFRESH * self.begun
        rows = self._afresh() if self.rows is None or afresh else self.rows
        for _ in range(ROUNDS if afresh else 1):
            beliefs = rows.beliefs()
            rows = rows.tuned(beliefs)
        self.rows, self.beliefs, self.renewed = rows, beliefs, self.played.seen
        self.begun = self.played.seen if afresh else self.begun

    def _afresh(self) -> Disjoint:
        """All rows in a new basis; what evidence said of the old one is where it begins."""
        self.scale = self.played.scale
        self.basis = Basis.fit(self.scale.scaled(self.played.x[: self.played.seen]), LANDMARKS, self.rng)
        rows = Disjoint.empty(self.basis.blocks, self.arms)
        if self.rows is not None:
            rows = rows.with_evidence_of(self.rows)
        return self._added(rows, slice(0, self.played.seen))

    def _added(self, rows: Disjoint, which: slice) -> Disjoint:
        return rows.learned(
            self._phi(self.played.x[which]), torch.from_numpy(self.played.arms[which]), torch.from_numpy(self.played.rewards[which].astype(np.float64))
        )

    def _phi(self, x: npt.NDArray[np.float32]) -> torch.Tensor:
        assert self.scale is not None  # noqa: S101 - made together, before any rows or beliefs
        assert self.basis is not None  # noqa: S101
        return torch.from_numpy(self.basis.columns(self.scale.scaled(x)))
