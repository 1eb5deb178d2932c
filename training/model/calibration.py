"""Do predicted probabilities come true? Measured on members that the model has never seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BINS = 10


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
