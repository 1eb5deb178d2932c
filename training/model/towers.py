"""The network: member tower, arm tower, matching layers, and phi(x, a) on which the posteriors stand.

phi(x, a) = [1, u(x) | s(a), s(a) v(a), s(a) m(x, a), s(a) z(x, a), e(a)] with s = 0 for `none` and 1 otherwise and m(x, a) = (M u(x)) * v(a), number by
number: what a member does unprompted stands on the left, what showing an arm adds stands on the right, so `none` is the exact reference and the effects
of rarely shown arms can be shrunk by themselves. Without m the network would have to learn every product of member and arm before it can use one.
e(a) is of creatives and of product x channels that training never saw: what to expect of them, then a mark of each (`expected`, `newcomers`).
The sizes are our own choice; "Matching LinkedIn members with the right Premium products" names the parts, not their widths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn
from torch.nn import functional

from training.model.arms import NEWCOMERS, RATES, ArmRows
from training.model.encode import CONTEXT_SIZE, NUMERIC_SIZE, MemberRows

CREATIVES = "factors.1.weight"
"""The embeddings of creatives."""


@dataclass(frozen=True)
class Sizes:
    """Vocabulary sizes (without the unknown) and `width`, the dial that sets all layers."""

    width: int
    categories: tuple[int, ...]
    factors: tuple[int, int, int]
    text: int
    """Length of a text's vector."""
    numeric: int = NUMERIC_SIZE
    """Numbers of a member's row."""
    context: int = CONTEXT_SIZE
    """Numbers of a context."""

    @property
    def member(self) -> int:
        """Length of u."""
        return self.width // 2

    @property
    def arm(self) -> int:
        """Length of v, and of m."""
        return self.width // 2

    @property
    def match(self) -> int:
        """Length of z."""
        return self.width // 2

    @property
    def blocks(self) -> tuple[int, int, int, int, int]:
        """Lengths of the blocks of phi: constant, member, arm (with the constant s), product, match."""
        return (1, self.member, 1 + self.arm, self.arm, self.match)

    @property
    def base(self) -> int:
        """Columns of phi that do not depend on the arm."""
        return 1 + self.member

    @property
    def phi(self) -> int:
        """Columns of phi that training sets; those of newcomers follow them."""
        return sum(self.blocks)


class Towers(nn.Module):
    """From encoded rows to phi, in two parts so that a member is encoded once for all arms."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        small = max(2, sizes.width // 8)
        self.sizes = sizes
        self.words = nn.ModuleList(nn.Embedding(n + 1, small) for n in sizes.categories)
        self.factors = nn.ModuleList(nn.Embedding(n + 1, sizes.arm) for n in sizes.factors)
        self.member = nn.Sequential(
            nn.Linear(sizes.numeric + small * len(sizes.categories) + sizes.context, sizes.width), nn.ReLU(), nn.Linear(sizes.width, sizes.member), nn.Tanh()
        )
        self.text = nn.Linear(sizes.text, sizes.arm, bias=False)
        self.rates = nn.Linear(len(RATES), sizes.arm, bias=False)
        self.meet = nn.Linear(sizes.member, sizes.arm)
        self.match = nn.Sequential(
            nn.Linear(sizes.member + 2 * sizes.arm + sizes.context, sizes.width), nn.ReLU(), nn.Linear(sizes.width, sizes.match), nn.Tanh()
        )

    def members(self, rows: MemberRows) -> torch.Tensor:
        """Base part of phi, [n, base]: a one and u(x)."""
        words = [table(rows.categorical[:, i]) for i, table in enumerate(self.words)]
        u = self.member(torch.cat([rows.numeric, *words, rows.context], dim=1))
        return torch.cat([torch.ones(len(u), 1), u], dim=1)

    def arms(self, rows: ArmRows) -> torch.Tensor:
        """s(a), s(a) v(a), offsets and a column for each newcomer, [n, 1 + arm + L + 2 NEWCOMERS]: v adds the factors, the text and the recent rates.

        Rows with three factors (a bandit without newcomers) have no newcomers' columns; rows without `ahead` have no offsets, and newcomers of scale 1.
        """
        v = self.text(rows.text) + self.rates(rows.rates)
        for i, table in enumerate(self.factors):
            v = v + table(rows.factors[:, i])
        places = functional.one_hot(rows.factors[:, len(self.factors) :], NEWCOMERS + 1)[..., 1:].to(v.dtype)
        if rows.ahead.shape[1] == 0:
            return torch.cat([rows.shown, rows.shown * v, places.flatten(1)], dim=1)
        offsets, scales = rows.ahead[:, :-2], rows.ahead[:, -2:, None]
        return torch.cat([rows.shown, rows.shown * v, offsets, (places * scales).flatten(1)], dim=1)

    def effects(self, base: torch.Tensor, arms: torch.Tensor, members: MemberRows) -> torch.Tensor:
        """Effect part of phi, [n, phi - base + newcomers], for pairs of member rows and arm rows; of `members` themselves the context alone is read."""
        known = arms[:, : 1 + self.sizes.arm]
        u, v, shown = base[:, 1:], known[:, 1:], known[:, :1]
        product = self.meet(u) * v
        z = self.match(torch.cat([u, v, product, members.context], dim=1))
        return torch.cat([known, product, shown * z, arms[:, 1 + self.sizes.arm :]], dim=1)

    def forward(self, members: MemberRows, arms: ArmRows) -> torch.Tensor:
        """phi(x, a), [n, phi + newcomers], one arm a member row."""
        base = self.members(members)
        return torch.cat([base, self.effects(base, self.arms(arms), members)], dim=1)


class Parts(Protocol):
    """A network whose phi is put together from what it says of the member alone and of the pair."""

    def members(self, rows: MemberRows) -> torch.Tensor:
        """Base part of phi, [n, base]."""

    def effects(self, base: torch.Tensor, arms: torch.Tensor, members: MemberRows) -> torch.Tensor:
        """Effect part of phi, for pairs of member rows and arm rows."""


def pairs(net: Parts, members: MemberRows, arms: torch.Tensor) -> torch.Tensor:
    """phi of every member row with every arm of its menu, [B, A, d]; `arms` are rows of what `net.arms` says, [B or 1, A, k]."""
    count = arms.shape[1]
    base = net.members(members)[:, None, :].expand(-1, count, -1)
    each = MemberRows(*(part[:, None, :].expand(-1, count, -1).flatten(0, 1) for part in members))
    flat = net.effects(base.flatten(0, 1), arms.expand(len(base), -1, -1).flatten(0, 1), each)
    return torch.cat([base, flat.reshape(len(base), count, -1)], dim=2)


def initialise(towers: Towers, generator: torch.Generator) -> None:
    """Draw all weights from `generator`: embeddings far enough apart that their products with u are felt from the start, the usual fan-in scaling elsewhere.

    Creatives start near each other: their texts tell them apart, and what a text cannot say is learned from their rows.
    """
    with torch.no_grad():
        for name, weight in towers.named_parameters():
            if weight.dim() == 1:
                weight.zero_()
            elif name == CREATIVES:
                weight.normal_(0.0, 0.05, generator=generator)
            elif name.startswith(("words", "factors")):
                weight.normal_(0.0, 0.5, generator=generator)
            else:
                weight.normal_(0.0, weight.shape[1] ** -0.5, generator=generator)
