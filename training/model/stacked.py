"""The towers with the wide part beside them: phi(x, a) = [1, u, b, c | s, s v, m, s z, e], where b, c and e are the wide part's logits of every label.

b is what the member does unprompted, c what each product would add for this member, e what this arm adds (`wide.Scores`). Which of the blocks a head reads
is chosen by what it predicts of members kept back (`heads`): the network memorises members while answers are few, and the linear part does not. To an arm's
offsets, which stand behind all that, each label's crosses of the member's words with creative and channel are added (`crosses`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import one_hot

from training.model.arms import NEWCOMERS, ArmRows
from training.model.crosses import Crosses, places
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
    """Used as `Towers` are; `weights` [L, size] are the wide part's, `creative` and `channel` those of `crosses`, which change nothing if none are given."""

    weights: torch.Tensor
    creative: torch.Tensor
    channel: torch.Tensor

    def __init__(self, deep: Towers, weights: torch.Tensor, crosses: Crosses | None = None) -> None:
        super().__init__()
        self.deep, self.sizes = deep, StackedSizes(deep.sizes, len(weights))
        self.register_buffer("weights", weights)
        for name, table in (crosses or Crosses.none(len(weights), deep.sizes.factors, deep.sizes.categories))._asdict().items():
            self.register_buffer(name, table)
        self.places = places(deep.sizes.categories)

    @property
    def crosses(self) -> Crosses:
        """Of words with creative and channel."""
        return Crosses(self.creative, self.channel)

    def crossed(self, columns: int) -> int:
        """How many of the `columns` that `arms` returned are crosses: the last ones, where the arms have offsets."""
        without_offsets = self.sizes.labels + self.sizes.shape.products + 1 + self.sizes.arm + 2 * NEWCOMERS
        return max(0, columns - without_offsets - self.sizes.labels)

    def members(self, rows: MemberRows) -> torch.Tensor:
        """Base part of phi, [n, base]."""
        x = member_columns(torch.cat([rows.numeric, rows.context], dim=1), rows.categorical, self.sizes.deep.categories)
        nothing = Part(x, x.new_zeros(len(x), self.sizes.shape.factors), torch.zeros(len(x), dtype=torch.int64))
        found = scores(self.weights, self.sizes.shape, nothing)
        return torch.cat([self.deep.members(rows), found.base, found.each], dim=1)

    def arms(self, rows: ArmRows) -> torch.Tensor:
        """What the arm adds for everyone [n, L], its product as 0/1 columns, what the towers say of it, and where it has offsets its crosses [n, L W]."""
        shape = self.sizes.shape
        own = arm_columns(rows.factors, rows.shown, self.sizes.deep.factors) @ self.weights[:, shape.member : shape.member + shape.factors].T
        parts = [own, one_hot(rows.factors[:, 0], shape.products + 1)[:, 1:].to(own.dtype), self.deep.arms(rows)]
        return torch.cat([*parts, self.crosses.of(rows.factors).flatten(1)] if rows.ahead.shape[1] else parts, dim=1)

    def effects(self, base: torch.Tensor, arms: torch.Tensor, members: MemberRows) -> torch.Tensor:
        """Effect part of phi, for pairs of member rows and arm rows."""
        labels, products, deep = self.sizes.labels, self.sizes.shape.products, self.sizes.deep
        crosses = self.crossed(arms.shape[1])
        own, product, rest, crossed = torch.split(arms, [labels, products, arms.shape[1] - labels - products - crosses, crosses], dim=1)
        each = base[:, deep.base + labels :].reshape(len(base), products, labels)
        e = own + (product[:, :, None] * each).sum(dim=1)
        found = self.deep.effects(base[:, : deep.base], rest, members)
        cut = deep.phi - deep.base
        if crosses:
            words = (self.places + members.categorical)[:, None, :].expand(-1, labels, -1)
            found[:, cut : cut + labels] += crossed.reshape(len(arms), labels, -1).gather(2, words).sum(dim=2)
        return torch.cat([found[:, :cut], e, found[:, cut:]], dim=1)

    def forward(self, members: MemberRows, arms: ArmRows) -> torch.Tensor:
        """phi(x, a), [n, phi], one arm a member row."""
        base = self.members(members)
        return torch.cat([base, self.effects(base, self.arms(arms), members)], dim=1)
