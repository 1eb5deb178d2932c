"""What a linear model of every label makes of member and product: the wide part beside the deep one (Cheng et al. 2016, "Wide & deep learning").

logit = x B + s(a) (f(a) F + x C[product(a)]), with x the member's numbers, words and circumstances one by one and f the factors of the arm. The precision of
each block is set by the evidence (`search`), so that it learns from a few hundred answers, where the network has only begun to memorise members.

Its scores are inputs of the heads (stacked generalization, Wolpert 1992), so no row may be scored by weights that saw it: members are dealt into FOLDS, and
each fold is scored without itself, by one Newton step from the weights of all (the infinitesimal jackknife; Beirami et al. 2017, "On optimal generalizability
in parametric learning", eq. 6). That costs one pass for all folds together.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.nn.functional import one_hot

from training.model.rows import CHUNK, IMMATURE, Rows
from training.model.search import Search

FOLDS = 8
SAMPLE = 65_536
"""With more than four times as many rows, searches begin on an even sample of about this size."""


@dataclass(frozen=True)
class Shape:
    """Columns of x, columns of f, and products; a weight vector is [x | f | product 1 x, product 2 x, ...]."""

    member: int
    factors: int
    products: int

    @property
    def size(self) -> int:
        """Length of a weight vector."""
        return self.member + self.factors + self.products * self.member

    @property
    def blocks(self) -> tuple[int, int, int, int]:
        """The constant, the member, the factors, the products with the member."""
        return 1, self.member - 1, self.factors, self.products * self.member


class Part(NamedTuple):
    """Some rows: x [n, member], f [n, factors], product [n] (0 for `none` and unknown)."""

    x: torch.Tensor
    f: torch.Tensor
    product: torch.Tensor


class Scores(NamedTuple):
    """Logits, float32: `base` [n, L] unprompted, `each` [n, products * L] what each product would add by the member, `effect` [n, L] what the arm adds."""

    base: torch.Tensor
    each: torch.Tensor
    effect: torch.Tensor


def member_columns(dense: torch.Tensor, codes: torch.Tensor, sizes: tuple[int, ...]) -> torch.Tensor:
    """x: a one, numbers and context `dense` [n, k], and each word's code [n, words] as 0/1 columns; `sizes` are the vocabularies without the unknown."""
    words = [one_hot(codes[:, i].to(torch.int64), size + 1)[:, 1:] for i, size in enumerate(sizes)]
    return torch.cat([dense.new_ones(len(dense), 1), dense, *(w.to(dense.dtype) for w in words)], dim=1)


def arm_columns(factors: torch.Tensor, shown: torch.Tensor, sizes: tuple[int, int, int]) -> torch.Tensor:
    """f: whether anything is shown, and each known one of the first three `factors` [n, 3 or more] as 0/1 columns."""
    words = [one_hot(factors[:, i], size + 1)[:, 1:].to(shown.dtype) for i, size in enumerate(sizes)]
    return torch.cat([shown, *words], dim=1)


def scores(weights: torch.Tensor, shape: Shape, part: Part) -> Scores:
    """Scores of `part` by `weights` [L, size]."""
    labels = len(weights)
    on_x, on_f, on_each = torch.split(weights, [shape.member, shape.factors, shape.products * shape.member], dim=1)
    crossed = on_each.reshape(labels, shape.products, shape.member).transpose(0, 1).reshape(-1, shape.member)
    each = (part.x @ crossed.T).reshape(len(part.x), shape.products, labels)
    chosen = (one_hot(part.product, shape.products + 1)[:, 1:, None] * each).sum(dim=1)
    return Scores(part.x @ on_x.T, each.flatten(1), part.f @ on_f.T + chosen)


class Wide:
    """The searches of all labels over one training set, `vocabularies` of its words and `factors` of its arms."""

    def __init__(self, rows: Rows, vocabularies: tuple[int, ...], factors: tuple[int, int, int], smallest: float) -> None:
        self.rows, self.vocabularies, self.factors = rows, vocabularies, factors
        self.shape = Shape(1 + rows.dense.shape[1] + sum(vocabularies), 1 + sum(factors), factors[0])
        self.searches = [Search(float(rate), self.shape.blocks, smallest) for rate in rows.base_rates]

    def fit(self, folds: torch.Tensor) -> Held:
        """The weights of all rows, and those without each fold; `folds` int64 [n] in [0, FOLDS)."""
        stride = max(1, len(self.rows) // SAMPLE) if len(self.rows) > 4 * SAMPLE else 1
        for every in dict.fromkeys((stride, 1)):
            for search in self.searches:
                search.again()
            while moving := [i for i, search in enumerate(self.searches) if not search.still]:
                for i, slope, curvature in zip(moving, *self._sums(moving, every, None), strict=True):
                    self.searches[i].learn(self._slope(slope[0]), self._curvature(curvature[0]))
        return Held.levelled(self, torch.stack([s.mean for s in self.searches]).to(torch.float32), self._without(folds), folds)

    def _without(self, folds: torch.Tensor) -> torch.Tensor:
        """Weights [FOLDS, L, size] as if a fold had never been seen; one after the other, since a curvature grows with the square of words and products."""
        found = torch.empty(FOLDS, len(self.searches), self.shape.size)
        for i, (slopes, curvatures) in enumerate(zip(*self._sums(list(range(len(self.searches))), 1, folds), strict=True)):
            search = self.searches[i]
            prior = search.precisions[search.groups]
            slope, curvature = self._slope(slopes.sum(dim=0)) - prior * search.mean, self._curvature(curvatures.sum(dim=0)) + torch.diag(prior)
            for k in range(FOLDS):
                rest = torch.linalg.solve(curvature - self._curvature(curvatures[k]), slope - self._slope(slopes[k]))
                found[k, i] = (search.mean + rest).to(torch.float32)
        return found

    def _sums(self, labels: list[int], stride: int, folds: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Slope [L, K, products + 1, width] and curvature [L, K, products + 1, width, width] of each label's log likelihood by product, float64, of what a
        row is beside its product; by fold (K = FOLDS) or whole (K = 1).
        """
        width, count = self.shape.member + self.shape.factors, FOLDS if folds is not None else 1
        slopes = torch.zeros(len(labels), count, self.shape.products + 1, width, dtype=torch.float64)
        curvatures = torch.zeros(len(labels), count, self.shape.products + 1, width, width, dtype=torch.float64)
        weights = torch.stack([self.searches[i].mean for i in labels]).to(torch.float32)
        for span, part in self.parts(stride):
            found, answers = scores(weights, self.shape, part), self.rows.labels[span][:, labels]
            mature = (answers != IMMATURE).to(torch.float32)
            p = torch.sigmoid(found.base + found.effect)
            slope, curvature = (answers.to(torch.float32) - p) * mature, p * (1 - p) * mature
            columns = torch.cat([part.x, part.f], dim=1)
            group = part.product * count + (folds[span] if folds is not None else 0)
            for g in torch.unique(group).tolist():
                here = torch.nonzero(group == g)[:, 0]
                some, product, fold = columns[here], g // count, g % count
                slopes[:, fold, product] += (slope[here].T @ some).to(torch.float64)
                for i in range(len(labels)):
                    curvatures[i, fold, product] += (some.T @ (some * curvature[here, i, None])).to(torch.float64)
        return slopes, curvatures

    def _slope(self, by_product: torch.Tensor) -> torch.Tensor:
        """[products + 1, width] -> [size]: what a product's rows say of x is what they say of that product's own weights."""
        return torch.cat([by_product.sum(dim=0), by_product[1:, : self.shape.member].flatten()])

    def _curvature(self, by_product: torch.Tensor) -> torch.Tensor:
        """The same of [products + 1, width, width] -> [size, size]."""
        m, width = self.shape.member, by_product.shape[-1]
        whole = by_product.new_zeros(self.shape.size, self.shape.size)
        whole[:width, :width] = by_product.sum(dim=0)
        for p in range(self.shape.products):
            own = slice(width + p * m, width + (p + 1) * m)
            whole[:width, own] = by_product[p + 1, :, :m]
            whole[own, :width] = by_product[p + 1, :m, :]
            whole[own, own] = by_product[p + 1, :m, :m]
        return whole

    def parts(self, stride: int) -> Iterator[tuple[slice, Part]]:
        """Every `stride`-th row, CHUNK rows at a time, with where they stand."""
        for start in range(0, len(self.rows), CHUNK * stride):
            span = slice(start, min(start + CHUNK * stride, len(self.rows)), stride)
            yield span, self.part(span)

    def part(self, span: slice | torch.Tensor) -> Part:
        """The rows at `span`."""
        kinds, arm = self.rows.kinds, self.rows.arm[span].to(torch.int64)
        known = arm_columns(kinds.factors, kinds.shown, self.factors)
        return Part(member_columns(self.rows.dense[span], self.rows.codes[span], self.vocabularies), known[arm], kinds.factors[arm, 0])


@dataclass(frozen=True)
class Held:
    """`weights` [L, size] for rows to come, and `without` [FOLDS, L, size] for the rows learned from, each scored by the weights that never saw its fold.

    `shift` [FOLDS, 2, L] moves a fold's scores of `base`, and of `effect` where something is shown, to the mean that `weights` give the same rows. What
    the answers leave open (how rare a click is that cannot happen) differs from fold to fold; a head that reads these scores must find the
    levels at which rows to come are scored.
    """

    wide: Wide
    weights: torch.Tensor
    without: torch.Tensor
    folds: torch.Tensor
    shift: torch.Tensor

    @classmethod
    def levelled(cls, wide: Wide, weights: torch.Tensor, without: torch.Tensor, folds: torch.Tensor) -> Held:
        """With the shifts that follow from one pass over the rows."""
        raw = cls(wide, weights, without, folds, torch.zeros(FOLDS, 2, len(weights)))
        total, count = torch.zeros(FOLDS, 2, len(weights), dtype=torch.float64), torch.zeros(FOLDS, 2, 1, dtype=torch.float64)
        for span, part in wide.parts(1):
            whole, own, shown = scores(weights, wide.shape, part), raw.scores(span), part.f[:, :1]
            gap = torch.stack([whole.base - own.base, (whole.effect - own.effect) * shown], dim=1)
            total.index_add_(0, folds[span], gap.to(torch.float64))
            count.index_add_(0, folds[span], torch.stack([torch.ones_like(shown), shown], dim=1).to(torch.float64))
        return cls(wide, weights, without, folds, (total / count.clamp(min=1)).to(torch.float32))

    def scores(self, rows: slice | torch.Tensor) -> Scores:
        """Scores of the rows at `rows`, in that order."""
        part, folds = self.wide.part(rows), self.folds[rows]
        found = scores(self.weights, self.wide.shape, part)
        for k in torch.unique(folds).tolist():
            here = torch.nonzero(folds == k)[:, 0]
            for whole, own in zip(found, scores(self.without[k], self.wide.shape, Part(*(c[here] for c in part))), strict=True):
                whole[here] = own
        return found._replace(base=found.base + self.shift[folds, 0], effect=found.effect + self.shift[folds, 1] * part.f[:, :1])
