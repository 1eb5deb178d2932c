"""Columns for linear models of a member's numbers: the numbers themselves; of few values, which it is and where it stands in their order; and how near the
member is to some that were seen.

Nearness is a Gaussian kernel, brought into a few columns by Nystroem's method (Williams and Seeger 2001, "Using the Nystroem method to speed up kernel
machines"): a linear model of them is a Gaussian process that learns from few rows what a network needs many for.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.model.numbers import Floats, NumberEncoder

FEW = 12
"""A column of more than two values and not more than these, which come twice on average, is taken by its values; of two values a number tells as much."""
MOST_NUMBERS = 200
"""Columns that the numbers take at most; beyond, their first principal components (of all members seen) stand for them."""
SMALLEST = 1e-6
"""Directions of the kernel with less than this share of the largest one's weight, and numbers that vary less, are left out."""


@dataclass(frozen=True)
class CodeEncoder:
    """What `numbers` says, but a column of few values by which of `values` (one array a column, empty where many) it has: codes need be no quantities.

    Two members who differ in such a column are 2 apart in squared distance whatever the codes, as two who differ in a standardised number are on average.
    Where the codes are grades, `grades` tells their order.
    """

    numbers: NumberEncoder
    values: tuple[Floats, ...]

    @classmethod
    def fit(cls, raw: Floats) -> CodeEncoder:
        """Learn from `raw` [n, columns] with NaN where missing."""
        columns = raw.shape[1]
        return cls(NumberEncoder.fit(lambda i: raw[:, i], columns), tuple(_codes(raw[:, i]) for i in range(columns)))

    def encode(self, raw: Floats) -> Floats:
        """[n, numbers.size + all values]; in place of a coded column's number is 0. A value that was not seen, or is missing, is none of them."""
        encoded, coded = self.numbers.encode(raw).astype(np.float64), self.coded
        encoded[:, coded] = 0.0
        return np.hstack([encoded, *(raw[:, i : i + 1] == self.values[i] for i in coded)])

    def grades(self, raw: Floats) -> Floats:
        """[n, coded columns]: where their value stands among the known ones, from -0.5 for the first to 0.5 for the last; 0 where missing."""
        found = np.zeros((len(raw), len(self.coded)))
        for column, i in enumerate(self.coded):
            found[:, column] = np.interp(raw[:, i], self.values[i], np.linspace(-0.5, 0.5, len(self.values[i])))
        return np.nan_to_num(found)

    @property
    def coded(self) -> list[int]:
        """Columns of few values."""
        return [i for i, values in enumerate(self.values) if len(values)]


@dataclass(frozen=True)
class Landmarks:
    """k(x, m) = exp(-|x - m|^2 / 2 `square`) with each of `rows` [m, k], times `whitening` [m, r] = U D^-1/2 of their own kernel matrix U D U'."""

    rows: Floats
    square: float
    whitening: Floats

    @classmethod
    def fit(cls, rows: Floats) -> Landmarks:
        """Landmarks at `rows` [m, k], at least 2; `square` is half the median squared distance between two of them."""
        apart = distances(rows, rows)
        square = max(float(np.median(apart[np.triu_indices(len(rows), 1)])) / 2, SMALLEST)
        values, vectors = np.linalg.eigh(np.exp(-apart / (2 * square)))
        felt = values > SMALLEST * values[-1]
        return cls(rows, square, vectors[:, felt] / np.sqrt(values[felt]))

    def columns(self, rows: Floats) -> Floats:
        """[n, r]: products of two rows' columns are their kernel, exactly where one of them is a landmark."""
        return np.asarray(np.exp(-distances(rows, self.rows) / (2 * self.square)) @ self.whitening)


@dataclass(frozen=True)
class Basis:
    """What `encoder` says where it varies (`varies`, positions), turned by `rotation` where that is too much, else its grades; and the landmarks' columns."""

    encoder: CodeEncoder
    varies: npt.NDArray[np.int64]
    rotation: Floats | None
    landmarks: Landmarks

    @classmethod
    def fit(cls, raw: Floats, most: int, rng: np.random.Generator) -> Basis:
        """Learn from members `raw` [n, columns], at least 2, with NaN where missing; at most `most` of them, drawn by `rng`, become landmarks."""
        encoder = CodeEncoder.fit(raw)
        encoded = encoder.encode(raw)
        varies = np.flatnonzero(encoded.std(axis=0) > SMALLEST)
        encoded = encoded[:, varies]
        landmarks = Landmarks.fit(encoded[rng.choice(len(raw), min(most, len(raw)), replace=False)])
        return cls(encoder, varies, _components(encoded, rng) if len(varies) > MOST_NUMBERS else None, landmarks)

    @property
    def blocks(self) -> tuple[int, int, int, int]:
        """Columns of the constant, of the numbers, of the grades and of the landmarks."""
        numbers, grades = (len(self.varies), len(self.encoder.coded)) if self.rotation is None else (self.rotation.shape[1], 0)
        return 1, numbers, grades, self.landmarks.whitening.shape[1]

    def columns(self, raw: Floats) -> Floats:
        """[n, sum of blocks]."""
        encoded = self.encoder.encode(raw)[:, self.varies]
        numbers = [encoded, self.encoder.grades(raw)] if self.rotation is None else [encoded @ self.rotation]
        return np.hstack([np.ones((len(raw), 1)), *numbers, self.landmarks.columns(encoded)])


def _components(rows: Floats, rng: np.random.Generator) -> Floats:
    """The first MOST_NUMBERS principal directions [k, MOST_NUMBERS] of `rows` [n, k] about 0, the largest last.

    Of fewer rows than columns they follow from the products of rows, [n, n]. Where rows tell fewer directions than that, `rng` draws the rest, orthogonal to
    all rows: later ones may lie there.
    """
    if rows.shape[1] <= len(rows):
        return np.asarray(np.linalg.eigh(rows.T @ rows)[1][:, -MOST_NUMBERS:])
    values, vectors = np.linalg.eigh(rows @ rows.T)
    felt = np.flatnonzero(values > SMALLEST**2 * values[-1])[-MOST_NUMBERS:][::-1]
    told, drawn = rows.T @ (vectors[:, felt] / np.sqrt(values[felt])), rng.normal(size=(rows.shape[1], MOST_NUMBERS - len(felt)))
    return np.asarray(np.linalg.qr(np.hstack([told, drawn]))[0][:, ::-1])


def _codes(column: Floats) -> Floats:
    known = column[~np.isnan(column)]
    values = np.unique(known)
    return values if 2 < len(values) <= min(FEW, len(known) // 2) else values[:0]  # noqa: PLR2004 - of two values a number tells as much


def distances(rows: Floats, others: Floats) -> Floats:
    """Squared distances [n, m] of rows [n, k] and others [m, k]."""
    apart = (rows**2).sum(axis=1)[:, None] + (others**2).sum(axis=1)[None, :] - 2 * rows @ others.T
    return np.asarray(np.maximum(apart, 0.0))
