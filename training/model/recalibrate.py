"""Correct a head's overconfidence on members that neither the network nor the head has learned from.

A head stands on a phi that was trained on the same rows, and one member's decisions share their answer, so its logits spread too widely: above all
the part that says who the member is, less so the part that says what an arm adds. Platt scaling (Platt 1999, "Probabilistic outputs for support
vector machines"), with one slope for each part: logit(p) = level + unprompted x member part + effect x arm part.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from training.model.posterior import LaplaceLogistic

PRIOR = 4.0
"""Precision of the belief, before any row is seen, that both slopes are 1."""
STEPS = 25


@dataclass(frozen=True)
class Correction:
    """What is left of the two parts of the logits: factors in [0, 1]."""

    unprompted: float
    effect: float

    def apply(self, head: LaplaceLogistic, base: int) -> LaplaceLogistic:
        """The head with its mean corrected; `base` columns do not depend on the arm, the first is the constant. Its spread stays as it is."""
        mean = head.mean.clone()
        mean[1:base] *= self.unprompted
        mean[base:] *= self.effect
        return LaplaceLogistic(mean, head.precision)


UNCHANGED = Correction(1.0, 1.0)


def parts(phi: torch.Tensor, head: LaplaceLogistic, base: int) -> torch.Tensor:
    """Logit of the constant, the member part and the arm part of rows `phi` [n, d], float64 [n, 3]."""
    rows = phi.to(torch.float64)
    columns = (rows[:, :1] @ head.mean[:1], rows[:, 1:base] @ head.mean[1:base], rows[:, base:] @ head.mean[base:])
    return torch.stack(columns, dim=1)


def fit_correction(logits: torch.Tensor, label: torch.Tensor) -> Correction:
    """Most probable correction of the `parts` [n, 3] given the answers `label` [n] (0 or 1, both present), by Newton's method."""
    design = torch.cat([torch.ones(len(logits), 1, dtype=torch.float64), logits[:, 1:]], dim=1)
    prior = torch.tensor([0.0, PRIOR, PRIOR], dtype=torch.float64)
    start = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    found = start
    for _ in range(STEPS):
        p = torch.sigmoid(logits[:, 0] + design @ found)
        hessian = design.T @ (design * (p * (1 - p))[:, None]) + torch.diag(prior + 1e-9)
        found = found + torch.linalg.solve(hessian, design.T @ (label - p) - prior * (found - start))
    slopes = found[1:].clamp(0.0, 1.0)
    return Correction(float(slopes[0]), float(slopes[1]))


def corrected(logits: torch.Tensor, label: torch.Tensor) -> tuple[Correction, torch.Tensor]:
    """The correction of the `parts` [n, 3], and each row's log loss [n] that is left with it once the level is right too; `label` float64 [n]."""
    found = fit_correction(logits, label)
    rest = found.unprompted * logits[:, 1] + found.effect * logits[:, 2]
    level = logits[:, 0].mean()
    for _ in range(STEPS):
        p = torch.sigmoid(rest + level)
        level = level + ((label - p).sum() / (p * (1 - p)).sum().clamp(min=1e-9)).clamp(-1.0, 1.0)
    return found, binary_cross_entropy_with_logits(rest + level, label, reduction="none")


def levelled(head: LaplaceLogistic, logits: torch.Tensor, label: torch.Tensor) -> LaplaceLogistic:
    """The head with its constant moved so that its mean prediction is the mean of `label` [n], as maximum likelihood makes it; `logits` [n] are its own."""
    mean, answers = head.mean.clone(), label.to(torch.float64)
    rest = logits.to(torch.float64) - mean[0]
    for _ in range(STEPS):
        p = torch.sigmoid(rest + mean[0])
        mean[0] += ((answers - p).sum() / (p * (1 - p)).sum().clamp(min=1e-9)).clamp(-1.0, 1.0)
    return LaplaceLogistic(mean, head.precision)
