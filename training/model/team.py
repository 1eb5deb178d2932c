"""Who trains together. Each one takes its share of every batch; what they add up, all of them hold."""

from __future__ import annotations

from typing import Protocol

import torch


class Team(Protocol):
    """`rank` of `size` processes that train one model."""

    @property
    def rank(self) -> int:
        """This process, from 0."""

    @property
    def size(self) -> int:
        """How many there are."""

    def add(self, tensor: torch.Tensor) -> None:
        """Replace `tensor` by its sum over all processes, in place; the same bits in each."""


class Alone:
    """One process."""

    rank, size = 0, 1

    def add(self, tensor: torch.Tensor) -> None:
        """The sum of one is itself."""


class Gloo:
    """The processes of an initialised torch.distributed group."""

    def __init__(self) -> None:
        self.rank, self.size = torch.distributed.get_rank(), torch.distributed.get_world_size()

    def add(self, tensor: torch.Tensor) -> None:
        """All-reduce."""
        torch.distributed.all_reduce(tensor)
