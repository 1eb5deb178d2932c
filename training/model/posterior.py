"""What the last layer knows and how sure it is: Laplace approximation of a Bayesian logistic regression on phi.

H = Lambda + sum p (1 - p) phi phi', w ~ N(m, nu^2 H^-1). Neural Thompson Sampling with the last layer's features (Zhang et al. 2021, "Neural Thompson
Sampling"; Riquelme et al. 2018, "Deep Bayesian bandits showdown", section 4, "neural linear"); the precision of each block of columns is set by the evidence
(`search`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch.nn.functional import logsigmoid

from training.model.search import Search, likelihood

CHUNK = 32_768
NEVER = 1e12
"""Precision of a weight that is known for certain: a column that a head does not read weighs 0."""
CERTAIN = NEVER / 16
"""From here on a weight is taken as known, also after some forgetting: its deviation is below 4e-6."""

CLOSE, STEPS, SHORTEST = 0.01, 50, 1e-6
"""The step that moves no logit further is the last; at most so many steps; the share of a step that is taken at least."""


class Posterior(Protocol):
    """Belief about the weights of one label's head."""

    @property
    def mean(self) -> torch.Tensor:
        """Best guess, float64 [d]."""

    def update(self, phi: torch.Tensor, label: torch.Tensor) -> Self:
        """The belief after rows `phi` [n, d] answered `label` [n] (0 or 1)."""

    def draw(self, draws: int, nu: float, generator: torch.Generator) -> torch.Tensor:
        """Weights [draws, d], float64, spread by the factor `nu` >= 0."""


@dataclass(frozen=True)
class LaplaceLogistic:
    """Normal belief with mean `mean` [d] and precision `precision` [d, d], both float64."""

    mean: torch.Tensor
    precision: torch.Tensor

    def update(self, phi: torch.Tensor, label: torch.Tensor) -> LaplaceLogistic:
        """The Laplace approximation at the most probable weights with this belief as the prior (Bishop 2006, "Pattern Recognition and Machine Learning",
        equations 4.142 and 4.143): one row at a time and all rows at once agree to first order.

        Most answers move no logit far, and one Newton step finds these weights. After an answer that seemed all but impossible the first step moves its
        logit by its whole variance, which may be far beyond them; further steps find back.

        Products round otherwise where an array begins elsewhere, as one that was read from a file does: copies begin alike, so equal beliefs give equal bytes.
        """
        if not len(phi):
            return self
        return LaplaceLogistic(self.mean.clone(), self.precision.clone())._updated(phi, label)  # noqa: SLF001 - one of its own class

    def _updated(self, phi: torch.Tensor, label: torch.Tensor) -> LaplaceLogistic:
        rows, answers, mean, precision = phi.to(torch.float64), label.to(torch.float64), self.mean, self.precision
        for _ in range(STEPS):
            p = torch.sigmoid(rows @ mean)
            precision = self.precision + rows.T @ (rows * (p * (1 - p))[:, None])
            slope = rows.T @ (answers - p) - self.precision @ (mean - self.mean)
            step = torch.linalg.solve(precision, slope)
            far = float((rows @ step).abs().max())
            if not far > CLOSE:
                return LaplaceLogistic(mean + step, precision)
            mean = self._higher(rows, answers, mean, step)
        return LaplaceLogistic(mean, precision)

    def _higher(self, rows: torch.Tensor, answers: torch.Tensor, mean: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """From `mean` along `step`, halved until the log posterior after the answers is no lower."""
        least, share = self._log_posterior(rows, answers, mean), 1.0
        while share > SHORTEST and not self._log_posterior(rows, answers, mean + share * step) >= least:
            share /= 2
        return mean + share * step

    def _log_posterior(self, rows: torch.Tensor, answers: torch.Tensor, weights: torch.Tensor) -> float:
        """Up to a constant."""
        away, sign = weights - self.mean, 2 * answers - 1
        return float(logsigmoid(sign * (rows @ weights)).sum() - away @ self.precision @ away / 2)

    def draw(self, draws: int, nu: float, generator: torch.Generator) -> torch.Tensor:
        """m + nu L^-T z with H = L L' and z standard normal, of the weights that are not known; the others are what they are known to be."""
        free = torch.nonzero(self.precision.diagonal() < CERTAIN)[:, 0]
        found = self.mean.repeat(draws, 1)
        found[:, free] = normal(self.mean[free], self.precision[free[:, None], free], (draws, nu), generator)
        return found


def normal(mean: torch.Tensor, precision: torch.Tensor, how: tuple[int, float], generator: torch.Generator) -> torch.Tensor:
    """Draws [S, d] of N(mean, nu^2 precision^-1) with (S, nu) = `how`, by the Cholesky factor of `precision` [d, d]; float64."""
    draws, nu = how
    noise = torch.randn(len(mean), draws, generator=generator, dtype=torch.float64)
    factor = torch.linalg.cholesky(precision)
    spread: torch.Tensor = nu * torch.linalg.solve_triangular(factor.T, noise, upper=True).T
    return mean + spread


def deviations(precision: torch.Tensor, phi: torch.Tensor) -> torch.Tensor:
    """Standard deviation of phi . w, float64 [n], for rows `phi` [n, d] and w ~ N(m, precision^-1)."""
    spread: torch.Tensor = torch.linalg.solve_triangular(torch.linalg.cholesky(precision), phi.to(torch.float64).T, upper=False)
    found: torch.Tensor = spread.norm(dim=0)
    return found


def fit(phi: torch.Tensor, label: torch.Tensor, blocks: Sequence[int], smallest: float) -> tuple[LaplaceLogistic, tuple[float, ...]]:
    """Maximum a posteriori weights on all rows, and the prior precision of each block of columns.

    `phi` float32 [n, d]; `label` float32 [n] of 0 and 1 with both present; `blocks` are consecutive column counts, the first of which is the constant;
    `smallest` is the precision from which each block starts and below which it never falls.
    """
    search, once = Search(float(label.mean()), blocks, smallest), torch.ones(len(label))
    while not search.still:
        spans = [slice(start, start + CHUNK) for start in range(0, len(phi), CHUNK)]
        parts = [likelihood(phi[rows], label[rows], once[rows], search.mean) for rows in spans]
        search.learn(sum_of(slope for slope, _ in parts), sum_of(curvature for _, curvature in parts))
    return found(search)


def found(search: Search) -> tuple[LaplaceLogistic, tuple[float, ...]]:
    """The belief at which `search` ended, and its precisions."""
    return LaplaceLogistic(search.mean, (search.precision + search.precision.T) / 2), tuple(search.precisions.tolist())


def constant(rate: float, answers: float, size: int) -> LaplaceLogistic:
    """The belief that every row answers 1 at `rate` in (0, 1), learned from `answers` rows: of `size` columns all but the constant weigh nothing."""
    mean, precision = torch.zeros(size, dtype=torch.float64), torch.eye(size, dtype=torch.float64) * NEVER
    mean[0], precision[0, 0] = torch.logit(torch.tensor(rate, dtype=torch.float64)), answers * rate * (1 - rate)
    return LaplaceLogistic(mean, precision)


def sum_of(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """Their sum; there is at least one."""
    return torch.stack(list(parts)).sum(dim=0)
