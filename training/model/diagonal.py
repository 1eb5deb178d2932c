"""NeuralTS with a diagonal: the whole network is the representation. phi is the logit and its gradient by every weight of the network.

logit(x, a) ~ N(f(x, a), nu^2 g' U^-1 g) with U = lambda I + sum p (1 - p) g^2 (Zhang et al. 2021, "Neural Thompson Sampling", algorithm 1, with the
diagonal of U as in their experiments, and the curvature of the log loss instead of the square's).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.func import functional_call, grad_and_value, vmap


@dataclass(frozen=True)
class DiagonalNormal:
    """Normal belief about weights of [f, g]: mean 1 for the network's own logit f and 0 for every step g away from it, precisions `precision` [d]."""

    precision: torch.Tensor

    @property
    def mean(self) -> torch.Tensor:
        """[1, 0, ..., 0], float64 [d]."""
        mean = torch.zeros(len(self.precision), dtype=torch.float64)
        mean[0] = 1.0
        return mean

    def update(self, phi: torch.Tensor, label: torch.Tensor) -> DiagonalNormal:
        """More curvature, the same mean: what the answers were moves the network only when it is trained. `label` is not looked at."""
        del label
        p = torch.sigmoid(phi[:, :1])
        curvature = (p * (1 - p) * phi**2).sum(dim=0).to(torch.float64)
        curvature[0] = 0.0
        return DiagonalNormal(self.precision + curvature)

    def draw(self, draws: int, nu: float, generator: torch.Generator) -> torch.Tensor:
        """Weights [draws, d]; the first is always 1."""
        noise = torch.randn(draws, len(self.precision), generator=generator, dtype=torch.float64)
        noise[:, 0] = 0.0
        return self.mean + nu * noise * self.precision.rsqrt()


def prior(parameters: int, smallest: float) -> DiagonalNormal:
    """Before any row: `smallest` is lambda."""
    return DiagonalNormal(torch.full((1 + parameters,), smallest, dtype=torch.float64))


def gradients(net: nn.Module, *rows: torch.Tensor) -> torch.Tensor:
    """phi [n, 1 + p] of `rows` (tensors [n, ...]): the logit that `net` returns for one row (as a batch of one), and its gradient by all p weights."""
    weights = {name: value.detach() for name, value in net.named_parameters()}

    def logit(values: dict[str, torch.Tensor], *row: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = functional_call(net, values, tuple(part[None] for part in row))
        return answer.squeeze()

    slopes, values = vmap(grad_and_value(logit), in_dims=(None, *(0 for _ in rows)))(weights, *rows)
    return torch.cat([values[:, None], *(slope.flatten(1) for slope in slopes.values())], dim=1)
