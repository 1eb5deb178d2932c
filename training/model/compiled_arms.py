"""The arms' side of a compiled champion: what is known of every arm before a member asks, and the order in which the arithmetic takes them.

Arms stand by product, then by channel: what a member adds to an arm's logits depends on its product alone, and the arms of one surface lie together, so
that a menu is a few slices of each table.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
from training.model.stacked import Stacked
from training.model.towers import Towers

Ints = npt.NDArray[np.int64]
Money = Singles | float
"""The same for all arms, or that of each."""

PLANS = 512
"""Menus that are remembered; then all are forgotten."""
FEWEST = 12
"""Arms of a product, on average, from which each product has turns of its own; where there are fewer, arms take turns whatever their product."""


class Said(NamedTuple):
    """The arms' side of phi, a row an arm, float64: `own` [A, L] what it adds to the wide part's logits for everyone, `known` [A, 1 + arm] s and s v,
    `rest` [A, r] the columns of newcomers; `whole` is all of it as the network said it.
    """

    whole: torch.Tensor
    own: Doubles
    known: Doubles
    rest: Doubles


class Turn(NamedTuple):
    """Arms that are scored together: their product (0: unknown), or that of each; rows in the tables; places in the plan; money, [n, 1] where it differs."""

    product: int | Ints
    rows: slice | Ints
    place: slice
    value: Money
    cost: Money


class Plan(NamedTuple):
    """A menu in the tables' order. `order` [A] are positions in the menu and `rows` [A] in the tables; the first `nothing` (0 or 1) of them is `none`."""

    order: Ints
    rows: Ints
    nothing: int
    turns: tuple[Turn, ...]


@dataclass(frozen=True, eq=False)
class Shelf:
    """All arms of a catalog: `ids` with `none` first, and in the tables' order their codes in the book [A]. `row` [A] is the row of each of `ids`."""

    ids: tuple[str, ...]
    book: ArmBook
    codes: torch.Tensor
    row: Ints
    chunk: int
    """Most arms of a turn."""
    plans: dict[tuple[int, ...], Plan] = field(default_factory=dict, init=False, repr=False)
    """Filled as menus are met. Threads may share it: an entry is whole when it is put in, and equal ones may replace each other."""

    @classmethod
    def build(cls, encoder: ArmEncoder, catalog: Catalog, chunk: int) -> Shelf:
        """Every arm of `catalog`, and `none`."""
        book, ids, channels = ArmBook.build(encoder, catalog, catalog.arms), (NONE, *catalog.arms), list(catalog.channels)
        codes = book.codes(ids)
        place = [(-1, -1), *((int(book.factors[book.index[a], 0]), channels.index(arm.channel_id)) for a, arm in catalog.arms.items())]
        order = np.array(sorted(range(len(ids)), key=place.__getitem__), dtype=np.int64)
        row = np.empty(len(ids), dtype=np.int64)
        row[order] = np.arange(len(ids))
        return cls(ids, book, torch.from_numpy(codes[order]), row, chunk)

    def said(self, encoder: ArmEncoder, net: Towers | Stacked, arm_features: Mapping[str, Mapping[str, object]]) -> Said:
        """What `net` says of every arm, in the tables' order. Counts of arms that `arm_features` lacks are unknown."""
        rates = torch.from_numpy(encoder.rates(counts([self.book.ids[i] for i in self.codes.tolist()], arm_features)))
        with torch.no_grad():
            whole = net.arms(self.book.rows(self.codes, rates))
        labels, products = (net.sizes.labels, net.sizes.shape.products) if isinstance(net, Stacked) else (0, 0)
        own, _, known, rest = np.split(double(whole), np.cumsum([labels, products, 1 + net.sizes.arm]), axis=1)
        return Said(whole, own, known, rest)

    def plan(self, feasible: Sequence[int]) -> Plan:
        """The plan of a menu, given as positions in `ids`. Raises DataError where there is nothing to draw from, IndexError for a position that is none."""
        key = tuple(feasible)
        found = self.plans.get(key)
        if found is None:
            if len(self.plans) >= PLANS:
                self.plans.clear()
            found = self.plans[key] = self._planned(np.array(key, dtype=np.int64))
        return found

    def _planned(self, menu: Ints) -> Plan:
        if not len(menu):
            raise DataError(f"There is no feasible arm, not even {NONE!r}: nothing can be drawn. Pass the positions of `Catalog.feasible(...)`.")
        if menu.min() < 0:
            raise IndexError(f"Position {menu.min()} is no arm of {len(self.ids)}: another arm would be scored in its place. Pass positions in `arm_ids`.")
        rows = self.row[menu]
        order = np.argsort(rows, kind="stable")
        rows = rows[order]
        nothing = int(rows[0] == 0)
        return Plan(order, rows, nothing, tuple(self._turns(rows, nothing)))

    def _turns(self, rows: Ints, nothing: int) -> Iterator[Turn]:
        codes = self.codes[torch.from_numpy(rows)]
        products = self.book.factors[codes, 0].numpy()
        value, cost = (prices[codes].numpy()[:, None] for prices in (self.book.value, self.book.cost))
        several = len(rows) - nothing >= FEWEST * len(np.unique(products[nothing:]))
        for start, stop in self._spans(products, nothing, several=several):
            place, some = slice(start, stop), rows[start:stop]
            near = some[-1] - some[0] + 1 == len(some)
            which = slice(int(some[0]), int(some[-1]) + 1) if near else some
            yield Turn(int(products[start]) if several else products[place], which, place, _money(value[place]), _money(cost[place]))

    def _spans(self, products: Ints, nothing: int, *, several: bool) -> Iterator[tuple[int, int]]:
        """Bounds of the turns: a product's arms at most, where there are `several` of each."""
        cuts = [nothing, *(np.flatnonzero(np.diff(products[nothing:])) + 1 + nothing).tolist()] if several else [nothing]
        for first, end in zip(cuts, [*cuts[1:], len(products)], strict=True):
            for start in range(first, end, self.chunk):
                yield start, min(start + self.chunk, end)


def _money(column: Singles) -> Money:
    return float(column[0, 0]) if (column == column[0]).all() else column
