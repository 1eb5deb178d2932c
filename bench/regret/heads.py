"""The kinds of posterior, each on the same network, behind the platform's one Protocol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

import torch
from torch import nn

from training.model import diagonal, ensemble, gaussian, posterior
from training.model.arms import ArmRows
from training.model.encode import MemberRows
from training.model.fused import Network
from training.model.posterior import Posterior
from training.model.rows import Batch, Rows, spans
from training.model.towers import pairs


class Kind(StrEnum):
    """What a draw comes from."""

    LAPLACE = "laplace"
    GAUSSIAN = "gaussian"
    NEURALTS = "neuralts-diagonal"
    ENSEMBLE = "ensemble"


class Belief(NamedTuple):
    """Of each row and arm: the logit's mean and standard deviation, both float64 [n, A]."""

    mean: torch.Tensor
    deviation: torch.Tensor


@dataclass(frozen=True)
class Head:
    """A trained network with the posterior on its phi; the first `base` columns of phi do not depend on the arm."""

    kind: Kind
    net: Network
    base: int
    posterior: Posterior

    @classmethod
    def fit(cls, kind: Kind, net: Network, rows: Rows, rewards: torch.Tensor, smallest: float, seed: int) -> Head:
        """The posterior of all `rows`, which answered `rewards` float32 [n] of 0 and 1; the least prior precision is `smallest`.

        An ensemble resamples by `seed`.
        """
        blocks = net.towers.sizes.blocks
        if kind is Kind.NEURALTS:
            head = cls(kind, net, 0, diagonal.prior(sum(p.numel() for p in net.parameters()), smallest))
            for span in spans(len(rows), GRADIENTS):
                head = head.learned(rows.batch(torch.arange(span.start, span.stop)), rewards[span], rows)
            return head
        with torch.no_grad():
            phi = torch.cat([net.phi(rows.batch(torch.arange(s.start, s.stop)), rows.kinds, rows.numbers) for s in spans(len(rows))])
        match kind:
            case Kind.LAPLACE:
                found: Posterior = posterior.fit(phi, rewards, blocks, smallest)[0]
            case Kind.GAUSSIAN:
                found = gaussian.fit(phi, rewards)
            case Kind.ENSEMBLE:
                found = ensemble.fit(phi, rewards, blocks, smallest, seed)
        return cls(kind, net, net.towers.sizes.base, found)

    def again(self, rows: Rows, rewards: torch.Tensor, smallest: float, new: int, seed: int) -> Head:
        """After the same network was trained further, with the last `new` rows for the first time: NeuralTS adds these to what it has added up (algorithm 1,
        by the weights after training), the others are found anew.
        """
        if self.kind is not Kind.NEURALTS:
            return Head.fit(self.kind, self.net, rows, rewards, smallest, seed)
        last = torch.arange(len(rows) - new, len(rows))
        return self.learned(rows.batch(last), rewards[last], rows)

    def phi(self, members: MemberRows, arms: ArmRows) -> torch.Tensor:
        """Every row of `members` with every one of `arms`, [B, A, d]."""
        if self.kind is not Kind.NEURALTS:
            return pairs(self.net.towers, members, self.net.towers.arms(arms)[None])
        n, count = len(members.numeric), len(arms.shown)
        row, arm = torch.arange(n).repeat_interleave(count), torch.arange(count).repeat(n)
        return self._gradients(members.take(row), arms.take(arm)).reshape(n, count, -1)

    def learned(self, batch: Batch, rewards: torch.Tensor, rows: Rows) -> Head:
        """The head after the rows of `batch` answered `rewards`; what arms they are is said by `rows`."""
        if self.kind is Kind.NEURALTS:
            kinds, arm = rows.kinds, batch.arm
            arms = ArmRows(kinds.factors[arm], kinds.text[arm], batch.rates, kinds.shown[arm])
            phi = self._gradients(plain(batch.dense), arms)
        else:
            with torch.no_grad():
                phi = self.net.phi(batch, rows.kinds, rows.numbers)
        return replace(self, posterior=self.posterior.update(phi, rewards))

    def _gradients(self, members: MemberRows, arms: ArmRows) -> torch.Tensor:
        return diagonal.gradients(_Logit(self.net), *members, *arms[:4])


GRADIENTS = 512
"""Rows whose gradients are held at once."""


class _Logit(nn.Module):
    """The network's logit of pairs given as plain tensors."""

    def __init__(self, net: Network) -> None:
        super().__init__()
        self.towers, self.head = net.towers, net.head

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.towers(MemberRows(*parts[:3]), ArmRows(*parts[3:])))
        return logits


def plain(dense: torch.Tensor) -> MemberRows:
    """Rows that are numbers only."""
    return MemberRows(dense, torch.zeros(len(dense), 0, dtype=torch.int64), torch.zeros(len(dense), 0))
