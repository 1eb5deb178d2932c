"""All weights of a network as one vector, so that a step, a running mean or a sum over processes is one operation instead of one a layer."""

from __future__ import annotations

import torch
from torch import nn


def flatten(net: nn.Module) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay the weights of `net` end to end, and its gradients: both float32 [p]. The parameters become views of the first, their gradients of the second."""
    parameters = list(net.parameters())
    flat = torch.cat([p.detach().flatten() for p in parameters])
    gradient = torch.zeros_like(flat)
    flat.grad, start = gradient, 0
    for p in parameters:
        part = slice(start, start + p.numel())
        p.data, p.grad = flat[part].view_as(p), gradient[part].view_as(p)
        start += p.numel()
    return flat, gradient
