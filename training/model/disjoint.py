"""One Bayesian linear regression of the label for each arm, with common hyperparameters: what to begin with where arms are few and answers too.

label = phi(x) w_a + noise, w_a ~ N(0, 1 / precision of its block), as LinUCB's "disjoint" models (Li et al. 2010, "A contextual-bandit approach to personalized
news article recommendation"), but precisions and noise are set by the evidence of all arms together (MacKay 1992, "Bayesian interpolation"; Bishop 2006,
"Pattern Recognition and Machine Learning", equations 3.91 to 3.95) and by weak Gamma beliefs about them (Tipping 2001, "Sparse Bayesian learning and the
relevance vector machine", section 2.2 and appendix A). Evidence alone takes the first few answers at their word: where they happen to agree it thinks that no
column matters or that answers have no noise, is then sure of everything, and stops exploring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

FIRST_NOISE, LEAST_NOISE = 0.1, 1e-3
"""Variance of an answer: what it begins with, and what it is never thought smaller than."""
PRECISIONS = (1e-2, 1e4)
"""Between these a block's prior precision is searched; the constant's stays 1."""
BELIEVED = 3.0
"""How many well-determined weights, and answers, the beliefs about a block's precision and about the noise weigh as much as (2a of Gamma(a, b))."""


@dataclass(frozen=True)
class Beliefs:
    """Each arm's weights: `mean` [K, d] and `covariance` [K, d, d], float64."""

    mean: torch.Tensor
    covariance: torch.Tensor

    def predict(self, phi: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Expected label of each arm and its standard deviation (without the answer's own noise), both [n, K], for rows `phi` float64 [n, d]."""
        variance = torch.stack([((phi @ arm) * phi).sum(dim=1) for arm in self.covariance], dim=1)
        return phi @ self.mean.T, variance.clamp(min=0.0).sqrt()


@dataclass(frozen=True)
class Disjoint:
    """What the rows said: `gram` [K, d, d] = sum phi phi' and `slope` [K, d] = sum phi y of each arm, `square` = sum y^2 and `count` of all; `blocks` of phi's
    columns, the first of which is the constant, with their prior `precisions`, and the `noise` (variance) of an answer.
    """

    blocks: tuple[int, ...]
    gram: torch.Tensor
    slope: torch.Tensor
    square: float
    count: int
    precisions: torch.Tensor
    noise: float

    @classmethod
    def empty(cls, blocks: Sequence[int], arms: int) -> Disjoint:
        """Before any row."""
        d, double = sum(blocks), torch.float64
        gram, slope = torch.zeros(arms, d, d, dtype=double), torch.zeros(arms, d, dtype=double)
        return cls(tuple(blocks), gram, slope, 0.0, 0, torch.ones(len(blocks), dtype=double), FIRST_NOISE)

    def learned(self, phi: torch.Tensor, arm: torch.Tensor, label: torch.Tensor) -> Disjoint:
        """After rows `phi` float64 [n, d] of arms `arm` int64 [n] answered `label` float64 [n]; one at a time and all at once are the same."""
        gram, slope = self.gram.clone(), self.slope.clone()
        for a in torch.unique(arm).tolist():
            rows, answers = phi[arm == a], label[arm == a]
            gram[a] += rows.T @ rows
            slope[a] += rows.T @ answers
        return replace(self, gram=gram, slope=slope, square=self.square + float(label @ label), count=self.count + len(label))

    def with_evidence_of(self, other: Disjoint) -> Disjoint:
        """The same rows, with the precisions and the noise of `other`, whose columns may be others but whose blocks mean the same."""
        return replace(self, precisions=other.precisions, noise=other.noise)

    def beliefs(self) -> Beliefs:
        """Exact posteriors under the present precisions and noise (Bishop 2006, 3.53 and 3.54)."""
        covariance = torch.cholesky_inverse(torch.linalg.cholesky(self.gram / self.noise + torch.diag(self._prior)))
        return Beliefs((covariance @ (self.slope / self.noise)[:, :, None])[:, :, 0], covariance)

    def tuned(self, beliefs: Beliefs) -> Disjoint:
        """Precisions and noise one fixed-point step nearer to the most probable ones; `beliefs` are those under the present ones.

        What is believed: the noise is FIRST_NOISE, and a block moves a label by a deviation of 1, as LinUCB's precision of 1 says of rows of length 1, so
        that many columns have small weights each. Of a block without columns nothing is said.
        """
        mean = beliefs.mean
        determined, weights = self._by_block(self._determined(beliefs)), self._by_block((mean**2).sum(dim=0))
        precisions = ((determined + BELIEVED) / (weights + BELIEVED / self._lengths)).clamp(*PRECISIONS)
        precisions = torch.where(torch.tensor(self.blocks) > 0, precisions, self.precisions)
        precisions[0] = 1.0
        rest = self.square - 2 * float((mean * self.slope).sum()) + float(torch.einsum("kd,kde,ke->", mean, self.gram, mean))
        free = max(self.count - float(determined.sum()), self.count / 2)
        return replace(self, precisions=precisions, noise=max((rest + BELIEVED * FIRST_NOISE) / (free + BELIEVED), LEAST_NOISE))

    def _determined(self, beliefs: Beliefs) -> torch.Tensor:
        """How far the rows and not the prior set each column's weight, summed over the arms, [d]."""
        return (1 - self._prior * beliefs.covariance.diagonal(dim1=1, dim2=2)).sum(dim=0)

    def _by_block(self, columns: torch.Tensor) -> torch.Tensor:
        """Sums [blocks] of `columns` [d]."""
        return torch.zeros_like(self.precisions).index_add_(0, self._groups, columns)

    @property
    def _lengths(self) -> torch.Tensor:
        """Mean squared length of a row's columns of each block, [blocks]."""
        return (self._by_block(self.gram.diagonal(dim1=1, dim2=2).sum(dim=0)) / max(self.count, 1)).clamp(min=1e-9)

    @property
    def _groups(self) -> torch.Tensor:
        return torch.repeat_interleave(torch.arange(len(self.blocks)), torch.tensor(self.blocks))

    @property
    def _prior(self) -> torch.Tensor:
        return self.precisions[self._groups]
