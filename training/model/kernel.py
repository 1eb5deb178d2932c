"""Utilities of many arms under many draws, in as few passes over member x arm x draw as the heads allow. All float32, [n, S] with the draws side by side.

It is `select.draw_utilities`, but that `none` is worth what it is by definition. A probability enters as `over` / `under`, and everything that it is multiplied
with that does not depend on the arm is part of `over`; what is added that does not depend on the arm is added once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from training.config.settings import UtilitySettings
from training.domain.nouns import Label
from training.model.compiled_arms import Plan, Shelf, Turn
from training.model.compiled_heads import FARTHEST, Form, Heads
from training.model.compiled_members import Base, Singles
from training.model.compiled_pairs import Pairs
from training.model.funnel import needed
from training.model.select import JUDGED


class Worth(NamedTuple):
    """One label in the utility: the heads of its steps, what it is worth by product [P, 1], and whether any of its steps reads the arm."""

    label: Label
    steps: tuple[int, ...]
    money: Singles
    varies: bool
    split: bool
    """Whether what follows the first step reads the arm."""
    level: int | None
    """The last step, where it does not read the arm but another does: its probability is added under every arm."""


class Asked(NamedTuple):
    """What one member adds. By product and head that reads the arm [P, R, S]: odds, or negative log odds, and `over`; by product and other head [P, F, S] its
    probability, with what it is worth. The network's columns [A, k]. What is added to the utility of all arms of a product [P, S]; that of `none` [S].
    """

    pulls: Singles
    over: Singles
    flat: Singles
    pair: Singles | None
    shift: Singles
    nothing: Singles


class Kernel:
    """The arithmetic of compiled `heads` with its scratch space, for one thread at a time."""

    def __init__(self, heads: Heads, pairs: Pairs, worth: UtilitySettings, shelf: Shelf) -> None:
        self.heads, self._shelf, forms = heads, shelf, [head.form for head in heads.heads]
        self._pairs = pairs if any(head.pair is not None for head in heads.heads) else None
        self._odds, self._read = forms.count(Form.ODDS), len(forms) - forms.count(Form.FLAT)
        self._worths = list(self._worth_of(worth))
        self._weights = np.ones((len(shelf.value), len(forms), 1), dtype=np.float32)
        for each in self._worths:
            self._weights[:, list(each.steps[1:] or each.steps)] = each.money[:, None]
        self._scratch = np.empty((self._read, shelf.chunk, heads.draws), dtype=np.float32)
        self._utilities = np.empty((0, heads.draws), dtype=np.float32)

    def utilities(self, base: Base, plan: Plan) -> Singles:
        """Utility of the arms of `plan`, [A, S]. The next call writes over it."""
        if len(self._utilities) < len(plan.rows):  # kept, because fresh memory of this size costs more than the arithmetic on it
            self._utilities = np.empty((len(plan.rows), self.heads.draws), dtype=np.float32)
        found = self._utilities[: len(plan.rows)]
        with np.errstate(over="ignore"):
            asked = self._asked(base, plan)
            for turn in plan.turns:
                self._turn(asked, turn, found[turn.place])
        found[: plan.nothing] = asked.nothing
        return found

    def _worth_of(self, worth: UtilitySettings) -> Iterator[Worth]:
        where, same = {head.stage: i for i, head in enumerate(self.heads.heads)}, np.ones_like(self._shelf.value)
        money = {Label.CONVERTED: self._shelf.value, Label.RETAINED: worth.retention * same, Label.OPTED_OUT: -worth.opt_out * same}
        for label in JUDGED:
            steps = tuple(where[stage] for stage in needed(label, where))
            if steps:
                varies, split = min(steps) < self._read, min(steps[1:], default=self._read) < self._read
                yield Worth(label, steps, money[label][:, None], varies, split, steps[2] if varies and steps[2:] and steps[2] >= self._read else None)

    def _asked(self, base: Base, plan: Plan) -> Asked:
        alone = self.heads.alone(base)
        unprompted = np.reciprocal(1 + np.exp(-alone))
        pulls = self.heads.products(base, alone[: self._read], self._shelf.known)
        odds, logits, weights = pulls[:, : self._odds], pulls[:, self._odds :], self._weights[:, : self._read]
        np.exp(np.minimum(np.maximum(odds, -FARTHEST, out=odds), FARTHEST, out=odds), out=odds)
        over = pulls * weights
        if logits.size:
            np.negative(logits, out=logits)
            over[:, self._odds :] = weights[:, self._odds :]
        flat = unprompted[self._read :] * self._weights[:, self._read :]
        pair = self._pairs.columns(base, plan) if self._pairs else None
        return Asked(pulls, over, flat, pair, *self._apart(over, flat, unprompted))

    def _apart(self, over: Singles, flat: Singles, unprompted: Singles) -> tuple[Singles, Singles]:
        """What does not differ between the arms of a product, and what `none` is worth. A first step that alone varies is told here what hangs on it."""
        shift = np.zeros((len(over), self.heads.draws), dtype=np.float32)
        left = np.zeros(self.heads.draws, dtype=np.float32)
        for each in self._worths:
            first, *rest = (unprompted[i] for i in each.steps)
            nothing = first * (rest[0] - rest[1]) + rest[1] if rest else first
            level = nothing if not each.varies else None if each.level is None else unprompted[each.level]
            if each.label is Label.OPTED_OUT:
                left += each.money[0] * nothing
            else:
                level = -nothing if level is None else level - nothing
            if level is not None:
                shift += each.money * level
            if rest and each.varies and not each.split:
                over[:, each.steps[0]] *= flat[:, each.steps[1] - self._read] - flat[:, each.steps[2] - self._read]
        return shift, left

    def _turn(self, asked: Asked, turn: Turn, found: Singles) -> None:
        """Fill `found` [n, S] with the utilities of the arms of `turn`."""
        pulls, over = _of(asked.pulls, turn), _of(asked.over, turn)
        under, odds = self._scratch[:, : len(found)], slice(self._odds)
        np.add(self.heads.odds[:, turn.rows], pulls[odds], out=under[odds])
        for i in range(self._odds, self._read):
            self._logits(i, asked, turn, under[i])
            under[i] += pulls[i]
            np.exp(under[i], out=under[i])
            under[i] += 1
        np.divide(over, under, out=under)
        terms = [term for each in self._worths if each.varies for term in self._terms(each, [*under, *_of(asked.flat, turn)])]
        for term in terms[1:]:
            terms[0] += term
        np.add(terms[0] if terms else 0.0, asked.shift[turn.product], out=found)
        if turn.cost is not None:
            found -= turn.cost

    def _terms(self, each: Worth, shares: list[Singles]) -> list[Singles]:
        """What differs between arms of one label's worth: arrays [n, S] to be added up, which may be written over."""
        if not each.split:
            return [shares[each.steps[0]]]
        first, happened, otherwise = (shares[i] for i in each.steps)
        gap = np.subtract(happened, otherwise, out=happened if each.steps[1] < self._read else None)
        gap *= first
        return [gap, otherwise] if each.level is None else [gap]

    def _logits(self, i: int, asked: Asked, turn: Turn, found: Singles) -> None:
        """The negative of the arms' part of the logits of head `i`, into `found`."""
        head = self.heads.heads[i]
        if head.pair is None or asked.pair is None:
            found.fill(0.0)
        else:
            np.matmul(asked.pair[turn.place], head.pair, out=found)
        if head.fixed is not None:
            found += head.fixed[turn.rows]


def _of(products: Singles, turn: Turn) -> Singles:
    """Rows [H, n or 1, S] of the arms of `turn`, from those of products [P, H, S]."""
    found: Singles = products[turn.product]
    return found[:, None] if isinstance(turn.product, int) else found.swapaxes(0, 1)
