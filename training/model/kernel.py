"""Utilities of many arms under many draws, in as few passes over member x arm x draw as the heads allow. All float32, [n, S] with the draws side by side.

It is `select.draw_utilities` with two liberties: `none` is worth what it is by definition, and what is the same under every arm is added up apart, [S].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from training.config.settings import UtilitySettings
from training.domain.nouns import Label
from training.model.compiled_arms import Money, Plan, Turn
from training.model.compiled_heads import FARTHEST, Form, Head, Heads
from training.model.compiled_members import Base, Singles
from training.model.compiled_pairs import Pairs
from training.model.funnel import Stage, chances, needed
from training.model.select import JUDGED

ONE = np.ones(1, dtype=np.float32)


class Share(NamedTuple):
    """A probability as `over` / `under`; `under` [n, S] is scratch, `over` [S] or [n, S] is not."""

    over: Singles
    under: Singles


class Asked(NamedTuple):
    """What one member adds: probabilities [H, S] if nothing is shown; by head its odds, or negative log odds, with each product; the network's
    columns; and by label what is added to P(label | arm) - P(label | none) whatever the arm, [S].
    """

    unprompted: Singles
    pulls: tuple[Singles, ...]
    pair: Singles | None
    shift: Mapping[Label, Singles]
    nothing: Mapping[Label, Singles]


class Kernel:
    """The arithmetic of compiled `heads`, with its scratch space: one thread at a time."""

    def __init__(self, heads: Heads, pairs: Pairs, worth: UtilitySettings, chunk: int) -> None:
        stages = {head.stage: i for i, head in enumerate(heads.heads)}
        self.heads, self._worth = heads, worth
        self._pairs = pairs if any(head.pair is not None for head in heads.heads) else None
        self._steps = {label: tuple(stages[s] for s in steps) for label in JUDGED if (steps := needed(label, stages))}
        self._flat = [head.form is Form.FLAT for head in heads.heads]
        self._varying = [label for label, steps in self._steps.items() if not all(self._flat[i] for i in steps)]
        self._scratch = np.empty((len(heads.heads), chunk, heads.draws), dtype=np.float32)
        self._utilities = np.empty((0, heads.draws), dtype=np.float32)

    def utilities(self, base: Base, plan: Plan) -> tuple[Singles, Singles]:
        """Utility of the arms of `plan`, [A, S], but for what is the same under every arm, [S]. The next call writes over the former."""
        with np.errstate(over="ignore"):
            asked = self._asked(base, plan)
            same = self._same(asked)
            found = self._found(len(plan.rows))
            for turn in plan.turns:
                self._turn(asked, turn, found[turn.place])
        if plan.nothing:
            found[0] = -same
            if Label.OPTED_OUT in asked.nothing:
                found[0] -= self._worth.opt_out * asked.nothing[Label.OPTED_OUT]
        return found, same

    def _found(self, arms: int) -> Singles:
        """Room for the result: fresh memory of this size costs more than the arithmetic on it."""
        if len(self._utilities) < arms:
            self._utilities = np.empty((arms, self.heads.draws), dtype=np.float32)
        return self._utilities[:arms]

    def _asked(self, base: Base, plan: Plan) -> Asked:
        alone = self.heads.alone(base)
        unprompted = np.negative(alone)
        np.exp(unprompted, out=unprompted)
        unprompted += 1
        np.reciprocal(unprompted, out=unprompted)
        products = self.heads.products(base, alone)
        odds = np.exp(np.minimum(np.maximum(products, -FARTHEST), FARTHEST))
        pulls = tuple((odds if head.form is Form.ODDS else -products)[:, i] for i, head in enumerate(self.heads.heads))
        stages: dict[Stage, Singles] = {head.stage: unprompted[i] for i, head in enumerate(self.heads.heads)}
        nothing = chances(stages)
        shift = {label: self._constant(label, unprompted, nothing[label]) for label in self._steps}
        return Asked(unprompted, pulls, self._pairs.columns(base, plan) if self._pairs else None, shift, nothing)

    def _constant(self, label: Label, unprompted: Singles, nothing: Singles) -> Singles:
        """What is the same under every arm of P(label | arm), less P(label | none)."""
        steps = self._steps[label]
        if label not in self._varying:
            return np.zeros_like(nothing)
        return (unprompted[steps[2]] if len(steps) > 1 and self._flat[steps[2]] else 0.0) - nothing

    def _same(self, asked: Asked) -> Singles:
        """What every arm but `none` is worth besides."""
        found = np.zeros(self.heads.draws, dtype=np.float32)
        if Label.RETAINED in self._steps:
            found += self._worth.retention * asked.shift[Label.RETAINED]
        if Label.OPTED_OUT in self._steps:
            found -= self._worth.opt_out * (asked.shift[Label.OPTED_OUT] + asked.nothing[Label.OPTED_OUT])
        return found

    def _turn(self, asked: Asked, turn: Turn, found: Singles) -> None:
        """Fill `found` [n, S] with the utilities of the arms of `turn`."""
        terms, shift = [], turn.value * asked.shift[Label.CONVERTED] if Label.CONVERTED in self._varying else None
        if shift is not None:
            terms.append(self._chance(Label.CONVERTED, asked, turn, turn.value))
        if Label.RETAINED in self._varying:
            terms.append(self._chance(Label.RETAINED, asked, turn, self._worth.retention))
        if Label.OPTED_OUT in self._varying:
            terms.append(self._chance(Label.OPTED_OUT, asked, turn, -self._worth.opt_out))
        for term in terms[1:]:
            terms[0] += term
        np.add(terms[0] if terms else 0.0, 0.0 if shift is None else shift, out=found)
        if not isinstance(turn.cost, float) or turn.cost:
            found -= turn.cost

    def _chance(self, label: Label, asked: Asked, turn: Turn, factor: Money) -> Singles:
        """What differs between arms of `factor` x P(label | arm), [n, S], in scratch space."""
        first, *rest = self._steps[label]
        if not rest:
            return _times(self._share(first, asked, turn), factor)
        happened, otherwise = (_times(self._share(i, asked, turn), factor) for i in rest)
        gap = np.subtract(happened, otherwise, out=_room(happened))
        found = _times(self._share(first, asked, turn), gap)
        return found if self._flat[rest[1]] else np.add(otherwise, found, out=otherwise)

    def _share(self, i: int, asked: Asked, turn: Turn) -> Share | Singles:
        """The probability of a stage: [S] where no arm is read."""
        head, pulls = self.heads.heads[i], asked.pulls[i]
        if head.fixed is None:
            flat: Singles = asked.unprompted[i]
            return flat
        under, pull = self._scratch[i, : turn.place.stop - turn.place.start], pulls[turn.product]
        if head.form is Form.ODDS:
            return Share(pull, np.add(head.fixed[turn.rows], pull, out=under))
        _against(head, asked, turn, under)
        under += pull
        np.exp(under, out=under)
        under += 1
        return Share(ONE, under)


def _against(head: Head, asked: Asked, turn: Turn, found: Singles) -> None:
    """The negative of the arm's part of the logits, into `found`."""
    fixed = head.fixed[turn.rows] if head.fixed is not None else 0.0
    if head.pair is None or asked.pair is None:
        found[...] = fixed
    else:
        np.matmul(asked.pair[turn.place], head.pair, out=found)
        found += fixed


def _times(share: Share | Singles, factor: Money) -> Singles:
    """Their product; a factor [n, S] is overwritten."""
    room = _room(factor)
    if not isinstance(share, Share):
        return np.multiply(share, factor, out=room)
    over = np.multiply(share.over, factor, out=room)
    return np.divide(over, share.under, out=share.under if room is None else room)


def _room(array: Money) -> Singles | None:
    """Where a result may be written: only scratch space has arms and draws."""
    return array if isinstance(array, np.ndarray) and array.ndim > 1 and array.shape[1] > 1 else None
