"""The most probable weights of a logistic regression and the prior precision of each block of columns, by a few passes over the rows.

A pass gives the slope and the curvature of the log likelihood at the current weights. On that quadratic, Newton's step and the evidence's update of the
precisions (MacKay 1992, "The evidence framework applied to classification networks", lambda = gamma / |m|^2) are repeated until they agree; only then
are the rows read again. The weights and precisions at which it ends are those of one update a pass; it reads the rows half as often.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

LARGEST_PRECISION = 1e4
"""Above this a block is switched off; larger values only lose digits."""
FREE = 1e-4
"""Prior precision of the constant column, which the data alone should set."""
PASSES = 16
"""At most so many passes over the rows."""
UPDATES = 20
"""At most so many updates on one quadratic."""
NEAR = 1.0
"""A pass that moved the weights further than this says too little about where they end: one update follows, not UPDATES."""
TOO_FAR = 0.5
"""A step at whose end the log posterior falls by more than this share of how it rose at its beginning is taken back in part."""
STILL = 1e-3
"""Weights that a pass moved less than this, and precisions that it changed by less than this share, stand still."""


class Search:
    """`mean` float64 [d] and `precisions` float64, one a block, as of the last pass; `still` once another pass would change nothing."""

    def __init__(self, base_rate: float, blocks: Sequence[int], smallest: float) -> None:
        """Start from `base_rate` and from precision `smallest`, below which none falls; `blocks` are column counts, the first is the constant."""
        self.smallest, self.passes, self.still, self.moved = smallest, 0, False, float("inf")
        self.groups = torch.repeat_interleave(torch.arange(len(blocks)), torch.tensor(blocks))
        self.precisions = torch.full((len(blocks),), smallest, dtype=torch.float64)
        self.precisions[0] = FREE
        self.mean = torch.zeros(len(self.groups), dtype=torch.float64)
        self.mean[0] = torch.logit(torch.tensor(base_rate, dtype=torch.float64))
        self.precision = torch.eye(len(self.groups), dtype=torch.float64)
        self._from: tuple[torch.Tensor, torch.Tensor] | None = None
        """Where the last step began, and the slope of the log likelihood there."""

    def again(self) -> None:
        """Go on from here, on other rows."""
        self.passes, self.still, self.moved, self._from = 0, False, float("inf"), None

    def learn(self, slope: torch.Tensor, curvature: torch.Tensor) -> None:
        """Move to where the quadratic with this `slope` [d] and `curvature` [d, d] of the log likelihood at `mean` says, float64."""
        if self._overshot(slope):
            return
        start, before = self.mean, self.precisions
        self._from = start, slope
        for _ in range(UPDATES if self.moved < NEAR else 1):
            last, prior = self.precisions, self.precisions[self.groups]
            self.precision = curvature + torch.diag(prior)
            self.mean = self.mean + _shortened(torch.linalg.solve(self.precision, slope - curvature @ (self.mean - start) - prior * self.mean))
            self.precisions = self._evidence(prior)
            if _change(self.precisions, last) < STILL:
                break
        self.passes, self.moved = self.passes + 1, float((self.mean - start).norm())
        self.still = self.passes >= PASSES or (self.moved < STILL and _change(self.precisions, before) < STILL)
        if self.still:
            prior = self.precisions[self.groups]
            self.precision = curvature + torch.diag(prior)
            self.mean = self.mean + _shortened(torch.linalg.solve(self.precision, slope - curvature @ (self.mean - start) - prior * self.mean))

    def _overshot(self, slope: torch.Tensor) -> bool:
        """Whether the last step went too far; then only to where the slope along it would be 0 if it changed evenly. Newton's step can lead from rows of
        which nearly all agree to where they all seem certain, and no curvature is left to find back by; the log posterior is concave.
        """
        if self._from is None:
            return False
        (start, before), prior = self._from, self.precisions[self.groups]
        step = self.mean - start
        rose, rises = float(step @ (before - prior * start)), float(step @ (slope - prior * self.mean))
        if rose <= 0 or rises >= -TOO_FAR * rose:
            return False
        self.mean = start + step * (rose / (rose - rises))
        self.passes, self.moved = self.passes + 1, float("inf")
        self.still = self.passes >= PASSES
        return True

    def _evidence(self, prior: torch.Tensor) -> torch.Tensor:
        """The precision of each block under which the rows are most probable, as far as the current weights tell."""
        variance = torch.diagonal(torch.linalg.inv(self.precision))
        determined = torch.zeros_like(self.precisions).index_add_(0, self.groups, (1 - prior * variance).clamp(min=1e-6))
        square = torch.zeros_like(self.precisions).index_add_(0, self.groups, self.mean**2)
        updated = (determined / square.clamp(min=1e-12)).clamp(self.smallest, LARGEST_PRECISION)
        updated[0] = FREE
        return updated


def likelihood(phi: torch.Tensor, label: torch.Tensor, weight: torch.Tensor, mean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Slope [d] and curvature [d, d] (float64) of the log likelihood of rows `phi` float32 [n, d] at weights `mean`; each row counts `weight` [n] times."""
    p = torch.sigmoid(phi @ mean.to(torch.float32))
    slope = phi.T @ ((label - p) * weight)
    curvature = phi.T @ (phi * (p * (1 - p) * weight)[:, None])
    return slope.to(torch.float64), curvature.to(torch.float64)


def _shortened(step: torch.Tensor) -> torch.Tensor:
    """Newton's step, at most 4 logits long, so that nearly separable rows cannot throw it far away."""
    return step * min(1.0, 4.0 / max(float(step.norm()), 1e-12))


def _change(after: torch.Tensor, before: torch.Tensor) -> float:
    """Largest relative change of any precision."""
    return float((after / before).log().abs().max())
