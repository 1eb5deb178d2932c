"""Do predicted probabilities come true? Measured on members that the model has never seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 10
LEVEL = 0.9
"""Of the intervals that are held against realised frequencies."""


@dataclass(frozen=True)
class Calibration:
    """Reliability of one label. `bins` holds (rows, mean predicted, observed rate), lowest predictions first; `error` is their weighted mean distance."""

    label: str
    rows: int
    error: float
    predicted: float
    observed: float
    bins: tuple[tuple[int, float, float], ...]


def calibrate(label: str, predicted: npt.NDArray[np.float64], observed: npt.NDArray[np.float64]) -> Calibration:
    """Expected calibration error over BINS bins of equally many rows (Naeini et al. 2015, with equal-mass bins because the labels are rare).

    Both arrays are [n]; rows whose label is NaN (immature) are left out. Without any row all figures are 0 and there is no bin.
    """
    mature = ~np.isnan(observed)
    p, y = predicted[mature], observed[mature]
    order = np.argsort(p, kind="stable")
    parts = [part for part in np.array_split(order, BINS) if len(part)]
    bins = tuple((len(part), float(p[part].mean()), float(y[part].mean())) for part in parts)
    error = sum(n * abs(mean - rate) for n, mean, rate in bins) / max(len(p), 1)
    return Calibration(label, len(p), error, float(p.mean()) if len(p) else 0.0, float(y.mean()) if len(y) else 0.0, bins)


@dataclass(frozen=True)
class Covered:
    """Bins of rows by what was predicted: the share of them whose observed rate lies in the central `level` interval that the posterior gave it."""

    label: str
    level: float
    bins: int
    share: float


def covered(label: str, means: npt.NDArray[np.float64], sizes: npt.NDArray[np.int64], observed: npt.NDArray[np.float64], rng: np.random.Generator) -> Covered:
    """Do the posterior's intervals hold? `means` [S, bins] are the mean predictions of each bin under each posterior draw, `sizes` [bins] its rows, `observed`
    [bins] its rate. What the rows themselves scatter (binomial, one a draw) belongs to the interval: a rate of few rows is not the probability.
    """
    rates = rng.binomial(sizes, np.clip(means, 0.0, 1.0)) / np.maximum(sizes, 1)
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    inside = (low <= observed) & (observed <= high) & (sizes > 0)
    return Covered(label, LEVEL, int((sizes > 0).sum()), float(inside.sum() / max((sizes > 0).sum(), 1)))
