"""The towers with the wide part beside them: phi(x, a) = [1, u, b, c | s, s v, m, s z, e], where b, c and e are the wide part's logits of every label.

b is what the member does unprompted, c what each product would add for this member, e what this arm adds (`wide.Scores`). Which of the blocks a head reads
is chosen by what it predicts of members kept back (`heads`): the network memorises members while answers are few, and the linear part does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import one_hot

from training.model.arms import ArmRows
from training.model.encode import MemberRows
from training.model.towers import Sizes, Towers
from training.model.wide import Part, Shape, arm_columns, member_columns, scores


@dataclass(frozen=True)
class StackedSizes:
    """Sizes of the towers, and the number of labels that the wide part scores."""

    deep: Sizes
    labels: int

    @property
    def shape(self) -> Shape:
        """Of the wide part's weights."""
        return Shape(1 + self.deep.numeric + self.deep.context + sum(self.deep.categories), 1 + sum(self.deep.factors), self.deep.factors[0])

    @property
    def blocks(self) -> tuple[int, ...]:
        """Lengths of the blocks of phi: constant, u, b, c, arm (with the constant s), product, match, e."""
        constant, member, *effects = self.deep.blocks
        return constant, member, self.labels, self.labels * self.deep.factors[0], *effects, self.labels

    @property
    def base(self) -> int:
        """Columns of phi that do not depend on the arm."""
        return sum(self.blocks[:4])

    @property
    def phi(self) -> int:
        """Columns of phi that training sets."""
        return sum(self.blocks)

    @property
    def arm(self) -> int:
        """Length of v."""
        return self.deep.arm


class Stacked(nn.Module):
    """Used as `Towers` are; `weights` [L, size] are the wide part's."""

    weights: torch.Tensor

    def __init__(self, deep: Towers, weights: torch.Tensor) -> None:
        super().__init__()
        self.deep, self.sizes = deep, StackedSizes(deep.sizes, len(weights))
        self.register_buffer("weights", weights)

    def members(self, rows: MemberRows) -> torch.Tensor:
        """Base part of phi, [n, base]."""
        x = member_columns(torch.cat([rows.numeric, rows.context], dim=1), rows.categorical, self.sizes.deep.categories)
        nothing = Part(x, x.new_zeros(len(x), self.sizes.shape.factors), torch.zeros(len(x), dtype=torch.int64))
        found = scores(self.weights, self.sizes.shape, nothing)
        return torch.cat([self.deep.members(rows), found.base, found.each], dim=1)

    def arms(self, rows: ArmRows) -> torch.Tensor:
        """What the arm adds for everyone [n, L], its product as 0/1 columns, and what the towers say of it."""
        shape = self.sizes.shape
        own = arm_columns(rows.factors, rows.shown, self.sizes.deep.factors) @ self.weights[:, shape.member : shape.member + shape.factors].T
        return torch.cat([own, one_hot(rows.factors[:, 0], shape.products + 1)[:, 1:].to(own.dtype), self.deep.arms(rows)], dim=1)

    def effects(self, base: torch.Tensor, arms: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Effect part of phi, for pairs of member rows and arm rows."""
        labels, products, deep = self.sizes.labels, self.sizes.shape.products, self.sizes.deep
        own, product, rest = arms[:, :labels], arms[:, labels : labels + products], arms[:, labels + products :]
        each = base[:, deep.base + labels :].reshape(len(base), products, labels)
        e = own + (product[:, :, None] * each).sum(dim=1)
        found = self.deep.effects(base[:, : deep.base], rest, context)
        cut = deep.phi - deep.base
        return torch.cat([found[:, :cut], e, found[:, cut:]], dim=1)

    def forward(self, members: MemberRows, arms: ArmRows) -> torch.Tensor:
        """phi(x, a), [n, phi], one arm a member row."""
        base = self.members(members)
        return torch.cat([base, self.effects(base, self.arms(arms), members.context)], dim=1)
