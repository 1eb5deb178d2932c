"""What the last layer knows and how sure it is: Laplace approximation of a Bayesian logistic regression on phi.

H = Lambda + sum p (1 - p) phi phi', w ~ N(m, nu^2 H^-1). Neural Thompson Sampling with the last layer's features (Zhang et al. 2021, "Neural Thompson
Sampling"; Riquelme et al. 2018, "Deep Bayesian bandits showdown", section 4, "neural linear"); the precision of each block of columns is set by the evidence
(MacKay 1992, "The evidence framework applied to classification networks", lambda = gamma / |m|^2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch

LARGEST_PRECISION = 1e4
"""Above this a block is switched off; larger values only lose digits."""
FREE = 1e-4
"""Prior precision of the constant column, which the data alone should set."""
ROUNDS = 12
CHUNK = 32_768


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
        """One Newton step from the current mean: exact curvature there, so one row at a time and all rows at once agree to first order."""
        rows = phi.to(torch.float64)
        p = torch.sigmoid(rows @ self.mean)
        precision = self.precision + rows.T @ (rows * (p * (1 - p))[:, None])
        step = torch.linalg.solve(precision, rows.T @ (label.to(torch.float64) - p))
        return LaplaceLogistic(self.mean + step, precision)

    def draw(self, draws: int, nu: float, generator: torch.Generator) -> torch.Tensor:
        """m + nu L^-T z with H = L L' and z standard normal."""
        noise = torch.randn(len(self.mean), draws, generator=generator, dtype=torch.float64)
        factor = torch.linalg.cholesky(self.precision)
        spread: torch.Tensor = nu * torch.linalg.solve_triangular(factor.T, noise, upper=True).T
        return self.mean + spread


def fit(phi: torch.Tensor, label: torch.Tensor, blocks: Sequence[int], smallest: float) -> tuple[LaplaceLogistic, tuple[float, ...]]:
    """Maximum a posteriori weights on all rows, and the prior precision of each block of columns.

    `phi` float32 [n, d]; `label` float32 [n] of 0 and 1 with both present; `blocks` are consecutive column counts, the first of which is the constant;
    `smallest` is the precision from which each block starts and below which it never falls.
    """
    groups = torch.repeat_interleave(torch.arange(len(blocks)), torch.tensor(blocks))
    precisions = torch.full((len(blocks),), smallest, dtype=torch.float64)
    precisions[0] = FREE
    base = float(label.mean())
    mean = torch.zeros(phi.shape[1], dtype=torch.float64)
    mean[0] = torch.logit(torch.tensor(base, dtype=torch.float64))
    hessian = torch.eye(len(mean), dtype=torch.float64)
    for _ in range(ROUNDS):
        prior = precisions[groups]
        gradient, hessian = _slope_and_curvature(phi, label, mean, prior)
        mean = mean + _shortened(torch.linalg.solve(hessian, gradient))
        precisions = _evidence(mean, hessian, prior, groups, precisions, smallest)
    prior = precisions[groups]
    for _ in range(3):
        gradient, hessian = _slope_and_curvature(phi, label, mean, prior)
        mean = mean + _shortened(torch.linalg.solve(hessian, gradient))
    _, hessian = _slope_and_curvature(phi, label, mean, prior)
    return LaplaceLogistic(mean, hessian), tuple(float(x) for x in precisions)


def _slope_and_curvature(phi: torch.Tensor, label: torch.Tensor, mean: torch.Tensor, prior: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    gradient = -prior * mean
    hessian = torch.diag(prior)
    weights = mean.to(torch.float32)
    for start in range(0, len(phi), CHUNK):
        rows, y = phi[start : start + CHUNK], label[start : start + CHUNK]
        p = torch.sigmoid(rows @ weights)
        gradient = gradient + (rows.T @ (y - p)).to(torch.float64)
        hessian = hessian + (rows.T @ (rows * (p * (1 - p))[:, None])).to(torch.float64)
    return gradient, (hessian + hessian.T) / 2


def _shortened(step: torch.Tensor) -> torch.Tensor:
    """Newton's step, at most 4 logits long, so that nearly separable rows cannot throw it far away."""
    return step * min(1.0, 4.0 / max(float(step.norm()), 1e-12))


def _evidence(mean: torch.Tensor, hessian: torch.Tensor, prior: torch.Tensor, groups: torch.Tensor, precisions: torch.Tensor, smallest: float) -> torch.Tensor:
    variance = torch.diagonal(torch.linalg.inv(hessian))
    determined = torch.zeros_like(precisions).index_add_(0, groups, (1 - prior * variance).clamp(min=1e-6))
    square = torch.zeros_like(precisions).index_add_(0, groups, mean**2)
    updated = (determined / square.clamp(min=1e-12)).clamp(smallest, LARGEST_PRECISION)
    updated[0] = FREE
    return updated
