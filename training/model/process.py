"""A Gaussian process over a few hundred things, each measured once with a known error, whose scales are the most probable ones.

f ~ N(0, K(scales)), y = f + N(0, error): Rasmussen and Williams 2006, "Gaussian Processes for Machine Learning", equations 2.25, 2.26 and 5.8. The scales
have a belief of their own (log-normal), because a catalog of ten creatives says little about three of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

STEPS = 60
"""Evaluations of the evidence at most."""
FAR = 4.0
"""Deviations of its belief beyond which no log scale goes: what a search tries there overflows, or leaves a covariance that cannot be factored."""
Kernel = Callable[[torch.Tensor], torch.Tensor]
"""From log scales [k] to the covariance [G, G] of what was measured."""


@dataclass(frozen=True)
class Process:
    """What was learned: log scales [k], S^-1 y [G] and S^-1 [G, G] with S = K + error; float64."""

    scales: torch.Tensor
    weights: torch.Tensor
    inverse: torch.Tensor

    def at(self, cross: torch.Tensor, own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance [n] of things whose covariance with the measured ones is `cross` [n, G] and with themselves `own` [n]."""
        return cross @ self.weights, (own - ((cross @ self.inverse) * cross).sum(dim=1)).clamp(min=0.0)

    def deviation(self, error: torch.Tensor) -> float:
        """How far a measured thing lies from what all others say of it, its error [G] taken off: leave-one-out (equation 5.12). 1 if there is none."""
        apart = (1 / self.inverse.diagonal() - error).clamp(min=1e-6)
        return float(apart.mean().sqrt()) if len(apart) else 1.0


class Lbfgs(torch.optim.LBFGS):
    """torch's. The method of its base that this one stands for imports torch's compiler, only to be left alone by it: seconds of a process."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Remember the one group, with the options that were given."""
        self.param_groups.append(param_group | self.defaults)


def fit(kernel: Kernel, measured: torch.Tensor, error: torch.Tensor, belief: Sequence[tuple[float, float]]) -> Process:
    """The process whose scales are most probable given `measured` [G] with error variance `error` [G]; `belief` is mean and deviation of each log scale."""
    centre, spread = torch.tensor(belief, dtype=torch.float64).T
    scales = centre.clone().requires_grad_()
    search = Lbfgs([scales], max_iter=STEPS, max_eval=STEPS, line_search_fn="strong_wolfe")

    def within(tried: torch.Tensor) -> torch.Tensor:
        return torch.clamp(tried, centre - FAR * spread, centre + FAR * spread)

    def loss() -> torch.Tensor:
        scales.grad = None
        factor = torch.linalg.cholesky(kernel(within(scales)) + torch.diag(error))
        white = torch.linalg.solve_triangular(factor, measured[:, None], upper=False)
        value = (white**2).sum() / 2 + factor.diagonal().log().sum() + (((scales - centre) / spread) ** 2).sum() / 2
        torch.autograd.backward(value)
        return torch.as_tensor(value)

    with torch.enable_grad():
        if len(measured):
            search.step(loss)  # type: ignore[no-untyped-call]
    found = within(scales.detach())
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(kernel(found) + torch.diag(error)))
    return Process(found, inverse @ measured, inverse)
