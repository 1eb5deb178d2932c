"""The network on a batch of narrow rows: the mathematics of `Towers.forward`, arranged so that a batch is a few matrix products.

- What an arm is does not change within a step: text and factors of every kind are added up once a step, and each row looks its sum up.
- A member's words enter as one product of a 0/1 matrix with all embeddings, folded into the first layer: faster than looking each word up, and far
  faster to differentiate, while the vocabularies are small.
- phi is not put together to be trained: each block meets its own columns of the head.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional

from training.model.rows import Batch, Kinds, Rows
from training.model.towers import Towers, initialise

MOST_WORDS = 256
"""With more words than this in all vocabularies together, each one is looked up instead."""


class Network(nn.Module):
    """Towers, and one linear head a label. `starts` is where each word's embeddings begin when all tables stand on each other."""

    starts: torch.Tensor

    def __init__(self, towers: Towers, labels: int) -> None:
        super().__init__()
        self.towers, self.head = towers, nn.Linear(towers.sizes.phi, labels, bias=False)
        self.register_buffer("starts", torch.tensor([0, *(words + 1 for words in towers.sizes.categories)])[:-1].cumsum(0))

    def forward(self, batch: Batch, kinds: Kinds, numbers: int) -> torch.Tensor:
        """Logits [n, L] of `batch`, whose first `numbers` dense columns are the member's and whose arms are positions in `kinds`."""
        constant, *heads = torch.split(self.head.weight, list(self.towers.sizes.blocks), dim=1)
        logits = constant[:, 0]
        for block, head in zip(self._blocks(batch, kinds, numbers), heads, strict=True):
            logits = torch.addmm(logits, block, head.T)
        return logits

    def phi(self, batch: Batch, kinds: Kinds, numbers: int) -> torch.Tensor:
        """What the towers say of `batch`, [n, phi]."""
        u, *effects = self._blocks(batch, kinds, numbers)
        return torch.cat([u.new_ones(len(u), 1), u, *effects], dim=1)

    def _blocks(self, batch: Batch, kinds: Kinds, numbers: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """The blocks of phi after the constant."""
        towers, context = self.towers, batch.dense[:, numbers:]
        u, effect = self._members(batch, numbers), self._arms(batch, kinds)
        shown, v = effect[:, :1], effect[:, 1:]
        product = towers.meet(u) * v
        return u, effect, product, shown * towers.match(torch.cat([u, v, product, context], dim=1))

    def _members(self, batch: Batch, numbers: int) -> torch.Tensor:
        """u(x), [n, member]."""
        first, codes = cast("nn.Linear", self.towers.member[0]), batch.codes.to(torch.int64)
        tables = [cast("nn.Embedding", table).weight for table in self.towers.words]
        words, size = sum(len(table) for table in tables), sum(table.shape[1] for table in tables)
        if not tables or words > MOST_WORDS:
            looked_up = [functional.embedding(codes[:, i], table) for i, table in enumerate(tables)]
            return cast("torch.Tensor", self.towers.member(torch.cat([batch.dense[:, :numbers], *looked_up, batch.dense[:, numbers:]], dim=1)))
        said = batch.dense.new_zeros(len(codes), words).scatter_(1, codes + self.starts, 1.0)
        on_numbers, on_words, on_context = torch.split(first.weight, [numbers, size, batch.dense.shape[1] - numbers], dim=1)
        meanings: torch.Tensor = torch.block_diag(*tables)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        weight = torch.cat([on_numbers, on_context, on_words @ meanings.T], dim=1)
        h = torch.addmm(first.bias, torch.cat([batch.dense, said], dim=1), weight.T)
        return cast("torch.Tensor", self.towers.member[1:](h))

    def _arms(self, batch: Batch, kinds: Kinds) -> torch.Tensor:
        """s(a) and s(a) v(a), [n, 1 + arm]."""
        arm = batch.arm.to(torch.int64)
        if len(kinds.shown) > len(arm):  # only the kinds that this batch shows
            distinct, arm = torch.unique(arm, return_inverse=True)
            kinds = Kinds(*(part[distinct] for part in kinds))
        v = self.towers.text(kinds.text)
        for i, table in enumerate(self.towers.factors):
            v = v + functional.embedding(kinds.factors[:, i], cast("nn.Embedding", table).weight)
        known = torch.cat([kinds.shown, kinds.shown * v], dim=1)
        return torch.addmm(known.index_select(0, arm), batch.rates, functional.pad(self.towers.rates.weight, (0, 0, 1, 0)).T)


def network(towers: Towers, rows: Rows, generator: torch.Generator) -> Network:
    """Weights drawn from `generator`; the heads start from the base rates."""
    net = Network(towers, len(rows.names))
    initialise(towers, generator)
    with torch.no_grad():
        net.head.weight.zero_()
        net.head.weight[:, 0] = torch.logit(rows.base_rates)
    return net
