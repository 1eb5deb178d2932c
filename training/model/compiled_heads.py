"""The heads' side of a compiled champion: drawn weights, met with everything that is known before a member asks.

An arm's logit is that of the member + what is fixed of the arm + what its product adds for the member + what the network makes of the pair. Each head is
compiled by what it reads of that. One that reads no arm is a vector over the draws. One without the network's part needs no exponential of member x arm
x draw: with G = exp(member + product) and E = exp(-arm), both known apart, its probability is G / (G + E). One with it is the sigmoid of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from training.model.compiled_arms import Said
from training.model.compiled_members import Base, Doubles, Singles, double
from training.model.funnel import Stage
from training.model.stacked import Stacked
from training.model.towers import Towers

WIDEST = 60.0
"""Log odds of an arm up to which its odds are kept; beyond, float32 has no room for their product with a member's."""
FARTHEST = 80.0
"""Log odds at which a member's are cut: with an arm's of at most WIDEST, the probability is within 1e-8 of 0 or 1 there."""


class Form(Enum):
    """What a head reads of the arm: nothing; what is fixed of it and its product; the network's part too."""

    FLAT = auto()
    ODDS = auto()
    LOGITS = auto()


@dataclass(frozen=True, eq=False)
class Head:
    """One stage under S draws. `fixed` [A, S] is E, or the negative of what is fixed of the arm for LOGITS; `pair` [k, S] are the negative weights of the
    network's columns [m, s z]. None where the head does not read them.
    """

    stage: Stage
    form: Form
    fixed: Singles | None
    pair: Singles | None


@dataclass(frozen=True, eq=False)
class Heads:
    """All stages that the utility reads, in their order. `base` [b, H S] are the weights of those `columns` of phi's base part that any of them reads, and
    `each` [L, H S] those of the wide part's effect, with zeros where a head does not read it.
    """

    heads: tuple[Head, ...]
    draws: int
    columns: npt.NDArray[np.int64]
    base: Singles
    each: Singles

    @classmethod
    def build(cls, net: Towers | Stacked, said: Said, drawn: Mapping[Stage, torch.Tensor], draws: int) -> Heads:
        """Compile the weights `drawn` [S, d] of each stage, as `select.draw_weights` gives them, for the arms of which this was `said`."""
        weights = {stage: double(w) for stage, w in drawn.items()}
        bases = np.array([w[:, : net.sizes.base] for w in weights.values()]).reshape(-1, draws, net.sizes.base)
        columns = np.flatnonzero(bases.any(axis=(0, 1)))
        parts = {stage: _Parts.of(net, w[:, net.sizes.base :]) for stage, w in weights.items()}
        each = np.array([p.effect for p in parts.values()]).reshape(len(parts), draws, said.own.shape[1])
        heads = tuple(_head(stage, p, said) for stage, p in parts.items())
        return cls(heads, draws, columns, _laid(bases[:, :, columns]), _laid(each))

    def alone(self, base: Base) -> Singles:
        """Logits [H, S] of the member whom nothing is shown."""
        found: Singles = base.columns[self.columns].astype(np.float32) @ self.base
        return found.reshape(len(self.heads), self.draws)

    def products(self, base: Base, alone: Singles) -> Singles:
        """Logits [1 + P, H, S] before what is fixed of the arm: of an unknown product, then of each one."""
        found = np.empty((1 + len(base.each), *alone.shape), dtype=np.float32)
        found[0] = alone
        np.matmul(base.each.astype(np.float32), self.each, out=found[1:].reshape(len(base.each), alone.size))
        found[1:] += alone
        return found


class _Parts(NamedTuple):
    """Weights [S, ...] of one head by what they meet: s and s v, the network's columns, the wide part's effect, newcomers."""

    known: Doubles
    pair: Doubles
    effect: Doubles
    rest: Doubles

    @classmethod
    def of(cls, net: Towers | Stacked, weights: Doubles) -> _Parts:
        deep, labels = (net.sizes.deep, net.sizes.labels) if isinstance(net, Stacked) else (net.sizes, 0)
        known = 1 + deep.arm
        return cls(*np.split(weights, [known, known + deep.arm + deep.match, known + deep.arm + deep.match + labels], axis=1))


def _head(stage: Stage, parts: _Parts, said: Said) -> Head:
    fixed = said.known @ parts.known.T + said.own @ parts.effect.T + said.rest @ parts.rest.T
    if not (parts.pair.any() or parts.effect.any() or fixed.any()):
        return Head(stage, Form.FLAT, None, None)
    if not parts.pair.any() and np.abs(fixed).max() <= WIDEST:
        return Head(stage, Form.ODDS, np.exp(-fixed).astype(np.float32), None)
    pair = np.ascontiguousarray(-parts.pair.T, dtype=np.float32) if parts.pair.any() else None
    return Head(stage, Form.LOGITS, (-fixed).astype(np.float32), pair)


def _laid(weights: Doubles) -> Singles:
    """[H, S, k] as one float32 matrix [k, H S]."""
    return np.ascontiguousarray(weights.reshape(math.prod(weights.shape[:2]), weights.shape[2]).T, dtype=np.float32)
