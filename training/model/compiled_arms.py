"""The arms' side of a compiled champion: what is known of every arm before a member asks, and the order in which the arithmetic takes them.

Arms stand by product, then by channel: what a member adds to an arm's logits under a draw depends on its product alone (what the member's words change of it,
no draw does), and the arms of one surface lie together, so that a menu reads each table in its order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from training.domain.catalog import Catalog
from training.domain.errors import DataError
from training.domain.nouns import NONE
from training.model.arms import ArmBook, ArmEncoder, counts
from training.model.compiled_members import Doubles, Singles, double
from training.model.loops import Menu
from training.model.stacked import Stacked
from training.model.towers import Towers

Ints = npt.NDArray[np.int64]

PLANS = 512
"""Menus that are remembered; then all are forgotten."""


class Said(NamedTuple):
    """The arms' side of phi, a row an arm, float64: `own` [A, L] what it adds to the wide part's logits for everyone, `known` [A, 1 + arm] s and s v,
    `rest` [A, r] the columns of newcomers, `crosses` [A, L, W] what a word changes of each label's logit; `whole` is all of it as the network said it.
    """

    whole: torch.Tensor
    own: Doubles
    known: Doubles
    rest: Doubles
    crosses: Doubles


class Plan(NamedTuple):
    """A menu in the tables' order, whose `order` [A] are positions in the menu."""

    order: Ints
    menu: Menu


@dataclass(frozen=True, eq=False)
class Shelf:
    """All arms of a catalog: `ids` with `none` first, the `row` [A] of each; in the tables' order their codes in the book, products (-1: `none`) and costs [A].

    `known` [P] are the encoder's codes of the catalog's products (0: unknown), and `value` [P] their worth.
    """

    ids: tuple[str, ...]
    row: Ints
    book: ArmBook
    codes: torch.Tensor
    product: Ints
    cost: Singles
    known: Ints
    value: Singles
    plans: dict[tuple[int, ...], Plan] = field(default_factory=dict, init=False, repr=False)
    """Filled as menus are met. Threads may share it: an entry is whole when it is put in, and equal ones may replace each other."""
    met: dict[int, tuple[tuple[int, ...], Plan]] = field(default_factory=dict, init=False, repr=False)
    """The same by the identity of the menu, which is kept beside: so no other object can have it."""

    @classmethod
    def build(cls, encoder: ArmEncoder, catalog: Catalog) -> Shelf:
        """Every arm of `catalog`, and `none`."""
        book, ids = ArmBook.build(encoder, catalog, catalog.arms), (NONE, *catalog.arms)
        products, channels = list(catalog.products), list(catalog.channels)
        place = [(-1, -1), *((products.index(arm.product_id), channels.index(arm.channel_id)) for arm in catalog.arms.values())]
        order = np.array([0, *sorted(range(1, len(ids)), key=place.__getitem__)], dtype=np.int64)
        row, codes = np.empty(len(ids), dtype=np.int64), torch.from_numpy(book.codes(ids)[order])
        row[order] = np.arange(len(ids))
        known = [encoder.products.index(p) + 1 if p in encoder.products else 0 for p in products]
        values = np.array([p.value for p in catalog.products.values()], dtype=np.float32)
        return cls(ids, row, book, codes, np.array([place[i][0] for i in order]), book.cost[codes].numpy(), np.array(known), values)

    def said(self, encoder: ArmEncoder, net: Towers | Stacked, arm_features: Mapping[str, Mapping[str, object]]) -> Said:
        """What `net` says of every arm, in the tables' order. Counts of arms that `arm_features` lacks are unknown."""
        rates = torch.from_numpy(encoder.rates(counts([self.book.ids[i] for i in self.codes.tolist()], arm_features)))
        with torch.no_grad():
            whole = net.arms(self.book.rows(self.codes, rates))
        labels, products = (net.sizes.labels, net.sizes.shape.products) if isinstance(net, Stacked) else (0, 0)
        crosses = net.crossed(whole.shape[1]) if isinstance(net, Stacked) else 0
        cuts = [*np.cumsum([labels, products, 1 + net.sizes.arm]), whole.shape[1] - crosses]
        own, _, known, rest, crossed = np.split(double(whole), cuts, axis=1)
        return Said(whole, own, known, rest, crossed.reshape(len(whole), labels, -1) if crosses else np.zeros((len(whole), 0, 0)))

    def plan(self, feasible: Sequence[int]) -> Plan:
        """The plan of a menu, given as positions in `ids`. Raises DataError where there is nothing to draw from, IndexError for a position that is none."""
        same = self.met.get(id(feasible))
        if same is not None and same[0] is feasible:  # most menus are met as the very same object, whose positions take long to read again
            return same[1]
        key = tuple(feasible)
        found = self.plans.get(key)
        if found is None:
            if len(self.plans) >= PLANS:
                self.plans.clear()
            found = self.plans[key] = self._planned(np.array(key, dtype=np.int64))
        if isinstance(feasible, tuple):  # nothing else stays as it is
            if len(self.met) >= PLANS:
                self.met.clear()
            self.met[id(feasible)] = feasible, found
        return found

    def _planned(self, menu: Ints) -> Plan:
        if not len(menu):
            raise DataError(f"There is no feasible arm, not even {NONE!r}: nothing can be drawn. Pass the positions of `Catalog.feasible(...)`.")
        if menu.min() < 0:
            raise IndexError(f"Position {menu.min()} is no arm of {len(self.ids)}: another arm would be scored in its place. Pass positions in `arm_ids`.")
        rows = self.row[menu]
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        return Plan(order, Menu(rows, self.product[rows], order.astype(np.int32), self.cost[rows]))
