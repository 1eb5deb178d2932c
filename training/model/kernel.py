"""How a compiled champion sees many arms under many draws: what `loops` needs, put together, and what only heads that read the network's part need.

It is `select.draw_utilities`, but that `none` is worth what it is by definition. A probability enters as `over` / (E + G), and everything that it is
multiplied with that does not depend on the arm is part of `over`; what is added that does not depend on the arm is added once.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.config.settings import UtilitySettings
from training.domain.nouns import Label
from training.model.aligned import aligned
from training.model.compiled_arms import Plan, Shelf
from training.model.compiled_heads import Form, Heads
from training.model.compiled_members import Base, Members, Singles
from training.model.compiled_pairs import Pairs
from training.model.funnel import needed
from training.model.loops import ALL, FIRST, NEAR, NONE, Asked, Crossed, Menu, Race, Weights, Worths, ask, contest
from training.model.loops_score import Room, Tables, handed
from training.model.rows import spans
from training.model.select import JUDGED

TURN = 32_768
"""Numbers of an array that is worked on at once where heads read the network's part: it stays within the processor's cache."""


class Kernel:
    """The arithmetic of compiled `heads` with its scratch space, for one thread at a time."""

    def __init__(self, heads: Heads, pairs: Pairs, worth: UtilitySettings, shelf: Shelf) -> None:
        self.heads, self._worths, forms = heads, _worths(heads, worth, shelf), [head.form for head in heads.heads]
        self._rest = slice(forms.count(Form.ODDS), len(forms) - forms.count(Form.FLAT))
        self._turns = self._rest.start < self._rest.stop
        self._pairs = pairs if any(head.pair is not None for head in heads.heads) else None
        products, draws, count = len(shelf.value), heads.draws, len(forms)
        far, money = int(self._turns or heads.widest > NEAR), _money(self._worths, products, count)
        self._weights = Weights(self._rest.start, far, heads.columns, heads.base, heads.each, shelf.known, money)
        self._rows, self._unkept = max(1, TURN // draws), np.empty((0, draws), dtype=np.float32)
        self._asked = Asked(
            odds=aligned((products, count, draws), np.float32),
            over=aligned((products, count, draws), np.float32),
            pull=aligned((products, self._rest.stop - self._rest.start, draws), np.float32),
            shift=aligned((products, draws), np.float32),
            nothing=aligned((draws,), np.float32),
            alone=aligned((count, draws), np.float32),
            far=np.zeros(1, dtype=np.int64),
            bits=aligned((draws,), np.int32),
        )
        self._asked.odds[:] = 1.0
        self._crossed = Crossed(heads.crosses, heads.crossed, np.ones(count, dtype=np.float32))
        self._uncrossed = Crossed(np.zeros((1, 1, 0), dtype=np.float32), np.zeros(0, dtype=np.int64), np.ones(count, dtype=np.float32))
        self._race = Race(aligned((draws,), np.float32), aligned((draws,), np.int32), aligned((draws,), np.float32))
        self._e = self._table()

    def wins(self, base: Base, plan: Plan) -> npt.NDArray[np.int64]:
        """Draws that each arm of the menu wins, [A], in the menu's order: it has the highest utility, or stands first among those that have."""
        self._run(base, plan, self._unkept)
        return np.bincount(self._race.winner, minlength=len(plan.order))

    def tables(self, members: Members) -> Tables | None:
        """What `loops_score.score` needs of these and of `members`; None where heads read the network's part."""
        if self._turns:
            return None
        room = Room(*members.room(), np.empty(len(self._e), dtype=np.int64))
        scale, worths = (members.mean, members.deviation), self._worths
        return handed(*scale, members.layers, self._weights, self._e, self._crossed, worths, self._asked, self._race, self._unkept, room)

    def utilities(self, base: Base, plan: Plan) -> Singles:
        """Utility of the arms of the menu under each draw, [A, S], in the menu's order."""
        kept = np.empty((len(plan.order), self.heads.draws), dtype=np.float32)
        self._run(base, plan, kept)
        return kept[np.argsort(plan.order)]

    def _table(self) -> Singles:
        """E by row, [rows, H, S]: of all arms; or room for those of a turn, where some depend on the member. 0 of heads that read no arm; without these
        where `contest` asks for none.
        """
        odds, asked = self.heads.odds, self._worths.steps[self._worths.kind == ALL][:, :2]
        if self._turns:
            return aligned((self._rows, len(self.heads.heads), self.heads.draws), np.float32)
        if asked.max(initial=-1) < odds.shape[1]:
            return odds
        found = aligned((len(odds), len(self.heads.heads), self.heads.draws), np.float32)
        found[:, : odds.shape[1]] = odds
        return found

    def _run(self, base: Base, plan: Plan, kept: Singles) -> None:
        ask(base.columns, base.each, self._weights, self._worths, self._asked, self._race)
        if not self._turns:
            contest(plan.menu, self._e, self._crossed, base.words, self._worths, self._asked, self._race, kept)
            return
        pair = self._pairs.columns(base, plan) if self._pairs else None
        for rows in spans(len(plan.order), self._rows):
            some = Menu(plan.menu.rows[rows], plan.menu.product[rows], plan.menu.place[rows], plan.menu.cost[rows])
            self._fill(some, base, None if pair is None else pair[rows])
            alone = some._replace(rows=np.arange(len(some.rows)))
            contest(alone, self._e, self._uncrossed, base.words, self._worths, self._asked, self._race, kept[rows])

    def _fill(self, menu: Menu, base: Base, pair: Singles | None) -> None:
        """E of the arms of `menu`, crosses included, into the first rows of the table; of heads without odds exp of the negative logit, member's part too."""
        found = self._e[: len(menu.rows)]
        found[:, : self._rest.start] = self.heads.odds[menu.rows]
        for i, head in enumerate(self.heads.heads[self._rest]):
            logits = self._asked.pull[menu.product, i]
            if head.pair is not None and pair is not None:
                logits += pair @ head.pair
            if head.fixed is not None:
                logits += head.fixed[menu.rows]
            with np.errstate(over="ignore"):
                np.exp(logits, out=found[:, self._rest.start + i])
        if len(self._crossed.heads):
            changed = self._crossed.table[menu.rows[:, None], base.words].sum(axis=1)
            found[:, self._crossed.heads] *= np.exp(-changed)[:, :, None]


def _worths(heads: Heads, worth: UtilitySettings, shelf: Shelf) -> Worths:
    """What the utility reads, by label."""
    where, same = {head.stage: i for i, head in enumerate(heads.heads)}, np.ones_like(shelf.value)
    money = {Label.CONVERTED: shelf.value, Label.RETAINED: worth.retention * same, Label.OPTED_OUT: -worth.opt_out * same}
    labels = [label for label in JUDGED if needed(label, where)]
    steps = [[where[stage] for stage in needed(label, where)] for label in labels]
    return Worths(
        steps=np.array([[*each, -1, -1][:3] for each in steps], dtype=np.int64).reshape(len(steps), 3),
        kind=np.array([_kind([heads.heads[i].form for i in each]) for each in steps], dtype=np.int64),
        money=np.array([money[label] for label in labels], dtype=np.float32).reshape(len(steps), len(same)),
        against=np.array([label is not Label.OPTED_OUT for label in labels], dtype=np.bool_),
    )


def _kind(forms: list[Form]) -> int:
    varies = [form is not Form.FLAT for form in forms]
    return NONE if not any(varies) else ALL if any(varies[1:]) else FIRST


def _money(worths: Worths, products: int, heads: int) -> Singles:
    """What each head's probability is multiplied with, [P, H]: a label's worth, at its last steps."""
    found = np.ones((products, heads), dtype=np.float32)
    for steps, money in zip(worths.steps, worths.money, strict=True):
        found[:, steps[1:] if steps[1] >= 0 else steps[:1]] = money[:, None]
    return found
