"""The last layer as a Bayesian linear regression of the label itself: conjugate, so that one row at a time and all at once are the same belief."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from training.model.posterior import normal

ROUNDS = 20
LEAST_NOISE = 1e-4
"""Variance of an answer that is never thought smaller: labels that phi explains without rest would make the belief certain."""


@dataclass(frozen=True)
class GaussianLinear:
    """Normal belief with mean `mean` [d] and precision `precision` [d, d], float64; an answer varies by `noise` (variance) around phi w."""

    mean: torch.Tensor
    precision: torch.Tensor
    noise: float

    def update(self, phi: torch.Tensor, label: torch.Tensor) -> GaussianLinear:
        """Bishop 2006, "Pattern Recognition and Machine Learning", equations 3.50 and 3.51: exact."""
        rows, answers = phi.to(torch.float64), label.to(torch.float64)
        precision = self.precision + rows.T @ rows / self.noise
        weighted = self.precision @ self.mean + rows.T @ answers / self.noise
        return GaussianLinear(torch.linalg.solve(precision, weighted), precision, self.noise)

    def draw(self, draws: int, nu: float, generator: torch.Generator) -> torch.Tensor:
        """m + nu L^-T z with the precision L L' and z standard normal."""
        return normal(self.mean, self.precision, (draws, nu), generator)


def fit(phi: torch.Tensor, label: torch.Tensor) -> GaussianLinear:
    """The belief after rows `phi` [n, d] answered `label` [n]; prior precision and noise by the evidence (Bishop 2006, equations 3.91 to 3.95)."""
    rows, answers = phi.to(torch.float64), label.to(torch.float64)
    gram, slope = rows.T @ rows, rows.T @ answers
    values, vectors = torch.linalg.eigh(gram)
    values, along = values.clamp(min=0.0), vectors.T @ slope
    prior, noise = 1.0, max(float(answers.var(correction=0)), LEAST_NOISE)
    for _ in range(ROUNDS):
        weights = along / (values + prior * noise)
        determined = float((values / (values + prior * noise)).sum())
        rest = float(answers @ answers - 2 * weights @ along + (weights**2) @ values)
        prior = determined / max(float(weights @ weights), 1e-12)
        noise = max(rest / max(len(rows) - determined, 1.0), LEAST_NOISE)
    precision = prior * torch.eye(len(gram), dtype=torch.float64) + gram / noise
    return GaussianLinear(torch.linalg.solve(precision, slope / noise), precision, noise)
