"""The network's part of a compiled champion: what the matching layers make of one member and many arms, for heads that read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from torch import nn

from training.model.compiled_arms import Plan, Said
from training.model.compiled_members import Base, Doubles, Singles, double
from training.model.stacked import Stacked
from training.model.towers import Towers


@dataclass(frozen=True, eq=False)
class Pairs:
    """`meet` are the matrix and the constant of M u; the first matching layer stands apart for u, v, m and the context; `v` [A, arm] is every arm's, and
    `met` [A, width] what it adds to that layer.
    """

    v: Singles
    met: Singles
    meet: tuple[Doubles, Doubles]
    on_member: Doubles
    on_product: Singles
    on_context: Doubles
    constant: Doubles
    second: tuple[Singles, Singles]

    @classmethod
    def build(cls, net: Towers | Stacked, said: Said) -> Pairs:
        """Take the weights out of `net`, for the arms of which this was `said`."""
        deep = net.deep if isinstance(net, Stacked) else net
        first, second, sizes = cast("nn.Linear", deep.match[0]), cast("nn.Linear", deep.match[2]), deep.sizes
        on_member, on_arm, on_product, on_context = np.split(double(first.weight).T, np.cumsum([sizes.member, sizes.arm, sizes.arm]))
        v = said.known[:, 1:]
        return cls(
            v=v.astype(np.float32),
            met=(v @ on_arm).astype(np.float32),
            meet=(double(deep.meet.weight).T, double(deep.meet.bias)),
            on_member=on_member,
            on_product=np.ascontiguousarray(on_product, dtype=np.float32),
            on_context=on_context,
            constant=double(first.bias),
            second=(np.ascontiguousarray(double(second.weight).T, dtype=np.float32), double(second.bias).astype(np.float32)),
        )

    def columns(self, base: Base, plan: Plan) -> Singles:
        """[m, z] of the arms of `plan`, [A, k]; rows of `none` mean nothing."""
        matrix, shift = self.meet
        u, size = base.columns[1 : 1 + len(matrix)], self.v.shape[1]
        found = np.empty((len(plan.menu.rows), size + self.second[0].shape[1]), dtype=np.float32)
        product = np.multiply(self.v[plan.menu.rows], (u @ matrix + shift).astype(np.float32), out=found[:, :size])
        hidden = product @ self.on_product
        hidden += self.met[plan.menu.rows]
        hidden += (u @ self.on_member + base.context.astype(np.float64) @ self.on_context + self.constant).astype(np.float32)
        z = np.maximum(hidden, np.float32(0.0), out=hidden) @ self.second[0]
        z += self.second[1]
        np.tanh(z, out=found[:, size:])
        return found
