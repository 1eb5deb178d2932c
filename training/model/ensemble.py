"""A small ensemble: heads that learned from rows resampled with replacement. A draw is one of them (Osband et al. 2016, "Deep Exploration via
Bootstrapped DQN"); each row counts Poisson(1) times for each head (Oza and Russell 2001, "Online Bagging and Boosting").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from training.model import posterior
from training.model.posterior import LaplaceLogistic

HEADS = 8
STEPS = 2
"""Newton steps from the head of all rows to a head of resampled ones."""


@dataclass(frozen=True)
class Ensemble:
    """`heads` with a mean and a precision each; how often row number `seen` + i counts follows from `seed`."""

    heads: tuple[LaplaceLogistic, ...]
    seed: int
    seen: int

    @property
    def mean(self) -> torch.Tensor:
        """Mean of the heads' means, float64 [d]."""
        return torch.stack([head.mean for head in self.heads]).mean(dim=0)

    def update(self, phi: torch.Tensor, label: torch.Tensor) -> Ensemble:
        """Each head learns each row as often as its lot says."""
        counts = _lots(self.seed, self.seen, len(phi), len(self.heads)).to(torch.int64)
        heads = tuple(head.update(phi.repeat_interleave(n, 0), label.repeat_interleave(n, 0)) for head, n in zip(self.heads, counts.T, strict=True))
        return Ensemble(heads, self.seed, self.seen + len(phi))

    def draw(self, draws: int, nu: float, generator: torch.Generator) -> torch.Tensor:
        """One head a draw, `nu` times as far from the mean as it is."""
        which = torch.randint(len(self.heads), (draws,), generator=generator)
        mean = self.mean
        return mean + nu * (torch.stack([head.mean for head in self.heads])[which] - mean)


def fit(phi: torch.Tensor, label: torch.Tensor, blocks: Sequence[int], smallest: float, seed: int) -> Ensemble:
    """HEADS heads near the most probable weights of all rows, with its prior precisions; arguments as of `posterior.fit`."""
    whole, precisions = posterior.fit(phi, label, blocks, smallest)
    prior = torch.repeat_interleave(torch.tensor(precisions, dtype=torch.float64), torch.tensor(blocks))
    rows, answers = phi.to(torch.float64), label.to(torch.float64)
    heads = tuple(_newton(whole, rows, answers, (counts, prior)) for counts in _lots(seed, 0, len(phi), HEADS).T)
    return Ensemble(heads, seed, len(phi))


def _newton(start: LaplaceLogistic, rows: torch.Tensor, answers: torch.Tensor, weighed: tuple[torch.Tensor, torch.Tensor]) -> LaplaceLogistic:
    (counts, prior), mean = weighed, start.mean
    precision = start.precision
    for _ in range(STEPS):
        p = torch.sigmoid(rows @ mean)
        precision = rows.T @ (rows * (counts * p * (1 - p))[:, None]) + torch.diag(prior)
        mean = mean + torch.linalg.solve(precision, rows.T @ (counts * (answers - p)) - prior * mean)
    return LaplaceLogistic(mean, precision)


def _lots(seed: int, first: int, rows: int, heads: int) -> torch.Tensor:
    """How often each row counts for each head, float64 [rows, heads]; the same for a row whenever it comes."""
    return torch.from_numpy(np.random.default_rng(seed).poisson(1.0, (first + rows, heads))[first:].astype(np.float64))
