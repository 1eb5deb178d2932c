"""Numbers as a network takes them: scaled, cut, missing ones marked, and cut into pieces where thresholds matter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

CONSTANT = 1e-12
"""What varies by less than this share of its largest value is equal but for rounding, and is not divided by its deviation."""
LIMIT = 5.0
"""Deviations beyond which a number is cut."""


@dataclass(frozen=True)
class NumberEncoder:
    """sign(x) log(1 + |x|), then (x - mean) / deviation, cut to LIMIT; whether it is missing; and how much of each piece of its range lies below it.

    Pieces are those of Gorishniy et al. 2022, "On Embeddings for Numerical Features in Tabular Deep Learning", equation 1, between quantiles: with them
    a network of two layers finds thresholds, and codes that only look like numbers. `edges` holds the bounds of each column's pieces, or nothing.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    edges: tuple[tuple[float, ...], ...] = ()

    @classmethod
    def fit(cls, column: Callable[[int], Floats], columns: int, pieces: int = 0) -> NumberEncoder:
        """Learn from `column(i)`, float64 [n] with NaN where missing, one column at a time: all of them as float64 may not fit beside the frame.

        At most `pieces` a column; a column of two values needs none. One without any value becomes all missing.
        """
        mean, deviation, edges = [], [], []
        for i in range(columns):
            raw = column(i)
            known = squashed(raw[~np.isnan(raw)])
            spread = float(np.std(known)) if len(known) else 0.0
            mean.append(float(np.mean(known)) if len(known) else 0.0)
            deviation.append(spread if spread > CONSTANT * np.max(np.abs(known), initial=0.0) else 1.0)
            if pieces:
                bounds = np.unique(np.quantile(known, np.linspace(0, 1, pieces + 1), method="inverted_cdf")) if len(known) else np.zeros(0)
                edges.append(tuple(bounds.tolist()) if len(bounds) > 2 else ())  # noqa: PLR2004 - two bounds are one piece: the number itself
        return cls(tuple(mean), tuple(deviation), tuple(edges))

    @property
    def size(self) -> int:
        """Columns of what `encode` returns."""
        return 2 * len(self.mean) + sum(max(0, len(bounds) - 1) for bounds in self.edges)

    def encode(self, raw: Floats) -> npt.NDArray[np.float32]:
        """float32 [n, size] of `raw` float64 [n, columns]: all numbers, whether each is missing, then the pieces, in [-0.5, 0.5] and 0 where missing."""
        missing, values = np.isnan(raw), squashed(raw)
        scaled = np.where(missing, 0.0, (values - np.array(self.mean)) / np.array(self.deviation))
        parts = [np.clip(scaled, -LIMIT, LIMIT), missing]
        for i, bounds in enumerate(self.edges):
            if bounds:
                below = (values[:, i : i + 1] - np.array(bounds[:-1])) / np.diff(bounds)
                parts.append(np.where(missing[:, i : i + 1], 0.0, np.clip(below, 0.0, 1.0) - 0.5))
        return np.concatenate(parts, axis=1).astype(np.float32)


def squashed(raw: Floats) -> Floats:
    """sign(x) log(1 + |x|): long tails become short, zero stays zero."""
    return np.asarray(np.sign(raw) * np.log1p(np.abs(raw)))
