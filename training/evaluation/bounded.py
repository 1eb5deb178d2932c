"""Confidence sequences for the mean of values within known bounds, valid at every sample size: no limit theorem is involved.

The gamma-exponential mixture of Howard, Ramdas, McAuliffe and Sekhon 2021 ("Time-uniform, nonparametric, nonasymptotic confidence sequences",
proposition 9) with the empirical-Bernstein variance process of their theorem 4: v sums (x - xhat)^2, where xhat was known before x.
One batch a look: xhat is the mean of the batches before it. `vw_estimators` computes the same for batches of one row.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from training.evaluation.intervals import Floats

HALVINGS = 60


def log_wealth(s: Floats, v: Floats, rho: float) -> Floats:
    """Logarithm of the mixture of exp(lambda s - psi_E(lambda) v) over a gamma law of lambda: what a bettor against the mean owns."""
    a, x = v + rho, s + v + rho
    grown = np.log(special.gammainc(a, x)) + special.gammaln(a) - np.log(special.gammainc(rho, rho)) - special.gammaln(rho)
    return np.asarray(s + v + rho * np.log(rho) - a * np.log(x) + grown)


def largest_sum(v: Floats, rho: float, alpha: float) -> Floats:
    """The deviation of a sum, at variance process `v`, that is exceeded ever with probability `alpha` at most (bisection; wealth grows in s)."""
    v = np.asarray(v, dtype=np.float64)
    low, high = np.zeros_like(v), 4.0 * (np.sqrt((v + rho) * np.log(1.0 / alpha)) + np.log(1.0 / alpha) + np.sqrt(v + rho) * np.log(v + rho + np.e))
    for _ in range(HALVINGS):
        middle = (low + high) / 2.0
        over = log_wealth(middle, v, rho) > -np.log(alpha)
        low, high = np.where(over, low, middle), np.where(over, middle, high)
    return np.asarray(high)


def tuned(variance_sum: float, alpha: float) -> float:
    """rho at which the sequence is about tightest when v is `variance_sum` (Howard et al. 2021, proposition 3 and its remark, in the normal case)."""
    return variance_sum / float(2.0 * np.log(1.0 / alpha) + np.log(1.0 + 2.0 * np.log(1.0 / alpha)))


def sequences(batches: tuple[Floats, Floats, Floats], bounds: tuple[float, float], rho: float, alpha: float) -> tuple[Floats, Floats]:
    """Lower and upper ends after each batch, one-sided `alpha` each. `batches` = (rows, sum, sum of squares) [..., looks] of values within `bounds`.

    `rho` is the variance process (in units of the bounds' width, squared) near which the sequence is tightest; see `tuned`.
    """
    low, high = bounds
    width = high - low
    n, total, square = (np.asarray(b, dtype=np.float64) for b in batches)
    x = (total - n * low) / width
    xx = (square - 2.0 * low * total + n * low**2) / width**2
    below = _lower(n, x, xx, (rho, alpha))
    above = 1.0 - _lower(n, n - x, n - 2.0 * x + xx, (rho, alpha))
    return low + width * below, low + width * above


def _lower(n: Floats, x: Floats, xx: Floats, tuning: tuple[float, float]) -> Floats:
    """Lower end for values in [0, 1]."""
    rows, total = np.cumsum(n, axis=-1), np.cumsum(x, axis=-1)
    known = (total - x + 0.5) / (rows - n + 1.0)
    v = np.cumsum(xx - 2.0 * known * x + n * known**2, axis=-1)
    return np.clip((total - largest_sum(v, *tuning)) / np.maximum(rows, 1.0), 0.0, 1.0)
