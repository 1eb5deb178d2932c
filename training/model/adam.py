"""AdamW (Loshchilov and Hutter 2019) of one vector: torch's own function of it, whose class imports torch's compiler: seconds of a process."""

from __future__ import annotations

import torch
from torch.optim.adamw import adamw

BETAS, EPS = (0.9, 0.999), 1e-8
"""What the paper, and torch's class where nothing else is said, takes."""


class Adam:
    """Moves `weights` [p] in place; its means of the gradient and of its square lie beside them."""

    def __init__(self, weights: torch.Tensor, decay: float) -> None:
        self._weights, self._decay = weights, decay
        self._mean, self._square = torch.zeros_like(weights), torch.zeros_like(weights)
        self._steps = torch.zeros((), dtype=torch.float32, device=weights.device)

    def step(self, gradient: torch.Tensor, rate: float) -> None:
        """One step of the length `rate` along `gradient` [p]; of each weight, rate * decay is taken away."""
        state = [self._weights], [gradient], [self._mean], [self._square], list[torch.Tensor](), [self._steps]
        decay, (beta1, beta2) = self._decay, BETAS
        with torch.no_grad():
            adamw(*state, fused=True, lr=rate, weight_decay=decay, beta1=beta1, beta2=beta2, eps=EPS, amsgrad=False, maximize=False)
