"""Several models of one label as one: their logits, each made before the answer was known, are the inputs of a logistic regression.

Stacked generalization (Wolpert 1992) with weights that are not negative (Breiman 1996, "Stacked regressions"), on prequential predictions (Dawid 1984): an
online learner has predictions of rows not yet seen for nothing. Weights start equal and are shrunk towards that, so few answers do not decide.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

FREE, PULL = 1e-2, 1.0
"""Prior precision of the constant, and of each weight around its equal share."""
STEPS, FARTHEST = 30, 2.0
"""Newton steps, and the longest one."""


@dataclass(frozen=True)
class Blend:
    """logit = constant + `weights` [E] . logits of E models. The constant moves no choice and is not kept."""

    weights: torch.Tensor

    @classmethod
    def equal(cls, models: int) -> Blend:
        """Before any answer."""
        return cls(torch.full((models,), 1.0 / models, dtype=torch.float64))

    @classmethod
    def fit(cls, logits: torch.Tensor, label: torch.Tensor) -> Blend:
        """Most probable weights, none of them negative: `logits` [n, E] float64, `label` [n] of 0 and 1.

        A weight below 0 is set to 0, the lowest one first, and the others are found again. Where none is left (whatever was tried, the answers came as if
        against all models, as where they are noise) nothing tells the models apart: equal shares, since without any every arm would be the same.
        """
        models = logits.shape[1]
        used = torch.arange(models)
        while len(used):
            found = _most_probable(logits[:, used], label, 1.0 / models)
            if float(found.min()) >= 0.0 and float(found.max()) > 0.0:
                return cls(torch.zeros(models, dtype=torch.float64).index_copy(0, used, found))
            used = used[torch.arange(len(used)) != int(found.argmin())]
        return cls.equal(models)

    def utilities(self, mean: torch.Tensor, deviation: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Blended logits [n, A, S] of draws that stand `noise` [n, A, S] deviations from the mean in every model; `mean`, `deviation` [E, n, A].

        The models learn from the same rows, so they are wrong together: their deviations add up as if fully correlated.
        """
        shared = self.weights[:, None, None]
        return (shared * mean).sum(dim=0)[..., None] + (shared * deviation).sum(dim=0)[..., None] * noise


def _most_probable(logits: torch.Tensor, label: torch.Tensor, share: float) -> torch.Tensor:
    """Weights [E] of the logistic regression with a constant, by Newton's method from equal shares."""
    rows = torch.cat([torch.ones(len(logits), 1, dtype=torch.float64), logits.to(torch.float64)], dim=1)
    pull = torch.full((rows.shape[1],), PULL, dtype=torch.float64)
    pull[0] = FREE
    start = torch.full_like(pull, share)
    start[0] = 0.0
    found = start
    for _ in range(STEPS):
        p = torch.sigmoid(rows @ found)
        slope = rows.T @ (label.to(torch.float64) - p) - pull * (found - start)
        step = torch.linalg.solve(rows.T @ (rows * (p * (1 - p))[:, None]) + torch.diag(pull), slope)
        found = found + step * min(1.0, FARTHEST / max(float(step.norm()), 1e-12))
    return found[1:]
