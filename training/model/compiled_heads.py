"""The heads' side of a compiled champion: drawn weights, met with everything that is known before a member asks.

An arm's logit is that of the member + what is fixed of the arm + what its product adds for the member + what the member's words change of the arm (`crosses`)
+ what the network makes of the pair. Each head is compiled by what it reads of that. One that reads no arm is a vector over the draws. One without the
network's part needs no exponential of member x arm x draw: with G = exp(member + product) and E = exp(-arm), both known apart, its probability is G / (G + E).
One with it is the sigmoid of the sum. No draw has a part in the crosses, so one number a head and arm multiplies E for all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from training.domain.schema import MEMBER_CATEGORICAL
from training.model.aligned import aligned
from training.model.compiled_arms import Said
from training.model.compiled_members import Doubles, Singles, double
from training.model.funnel import Stage
from training.model.stacked import Stacked
from training.model.towers import Towers

WIDEST = 60.0
"""Log odds of an arm up to which its odds are kept; beyond, float32 has no room for their product with a member's."""


class Form(Enum):
    """What a head reads of the arm: what is fixed of it, its product and words; the network's part too; nothing. Heads are kept in this order."""

    ODDS = auto()
    LOGITS = auto()
    FLAT = auto()


@dataclass(frozen=True, eq=False)
class Head:
    """One stage under S draws. For LOGITS, `fixed` [A, S] is the negative of what is fixed of the arm, and `pair` [k, S] are the negative weights of the
    network's columns [m, s z], None where they are not read.
    """

    stage: Stage
    form: Form
    fixed: Singles | None
    pair: Singles | None


@dataclass(frozen=True, eq=False)
class Heads:
    """All stages that the utility reads. `odds` [A, O, S] are E of those of that form, the first ones. `base` [b, H, S] are the weights of those `columns` of
    phi's base part that any head reads, and `each` [L, H, S] those of the wide part's effect. `crosses` [A, W, T] is what a word changes of an arm's logit
    in the heads `crossed` [T].
    """

    heads: tuple[Head, ...]
    odds: Singles
    widest: float
    """The largest log odds of `odds`, crosses included."""
    draws: int
    columns: npt.NDArray[np.int64]
    base: Singles
    each: Singles
    crosses: Singles
    crossed: npt.NDArray[np.int64]

    @classmethod
    def build(cls, net: Towers | Stacked, said: Said, drawn: Mapping[Stage, torch.Tensor], draws: int) -> Heads:
        """Compile the weights `drawn` [S, d] of each stage, as `select.draw_weights` gives them, for the arms of which this was `said`."""
        weights, cut = {stage: double(w) for stage, w in drawn.items()}, net.sizes.base
        parts = {stage: _Parts.of(net, w[:, cut:]) for stage, w in weights.items()}
        made = sorted((_head(stage, p, said) for stage, p in parts.items()), key=lambda each: each[0].form.value)
        heads, odds = tuple(head for head, _ in made), [e for _, e in made if e is not None]
        bases = np.array([weights[head.stage][:, :cut] for head in heads]).reshape(len(heads), draws, cut)
        each = np.array([parts[head.stage].effect for head in heads]).reshape(len(heads), draws, said.own.shape[1])
        columns = np.flatnonzero(bases.any(axis=(0, 1)))
        table = aligned((len(said.own), len(odds), draws), np.float32)
        for i, e in enumerate(odds):
            table[:, i] = e
        crosses = {i: found for i, head in enumerate(heads) if (found := _crosses(parts[head.stage], said)).any()}
        by_word = np.stack([*crosses.values()], axis=2) if crosses else np.zeros((len(said.own), said.crosses.shape[2], 0))
        crossed = np.array([*crosses], dtype=np.int64)
        widest = max(abs(float(np.log(end))) for end in (table.max(), table.min())) if table.size else 0.0
        widest += len(MEMBER_CATEGORICAL) * float(np.abs(by_word).max(initial=0.0))
        return cls(heads, table, widest, draws, columns, _laid(bases[:, :, columns]), _laid(each), np.ascontiguousarray(by_word, dtype=np.float32), crossed)


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


def _head(stage: Stage, parts: _Parts, said: Said) -> tuple[Head, Singles | None]:
    """The head, and its E where it has odds."""
    fixed = said.known @ parts.known.T + said.own @ parts.effect.T + said.rest @ parts.rest.T
    crosses = np.abs(_crosses(parts, said)).max(initial=0.0)
    if not (parts.pair.any() or parts.effect.any() or fixed.any() or crosses):
        return Head(stage, Form.FLAT, None, None), None
    if not parts.pair.any() and np.abs(fixed).max() + len(MEMBER_CATEGORICAL) * crosses <= WIDEST:
        return Head(stage, Form.ODDS, None, None), np.exp(-fixed).astype(np.float32)
    pair = np.ascontiguousarray(-parts.pair.T, dtype=np.float32) if parts.pair.any() else None
    return Head(stage, Form.LOGITS, (-fixed).astype(np.float32), pair), None


def _crosses(parts: _Parts, said: Said) -> Doubles:
    """What a word changes of each arm's logit, [A, W]: that of the head's own offset, which every draw reads whole."""
    weights, found = np.round(parts.rest[0, : said.crosses.shape[1]]), np.zeros((len(said.crosses), said.crosses.shape[2]))
    for label in np.flatnonzero(weights):
        found += weights[label] * said.crosses[:, label]
    return found


def _laid(weights: Doubles) -> Singles:
    """[H, S, k] as float32 [k, H, S]."""
    found = aligned((weights.shape[2], *weights.shape[:2]), np.float32)
    found[:] = weights.transpose(2, 0, 1)
    return found
