"""Numbers of any size, so that a reward of 1e200 or 1e-200 is judged like one of 1."""

from __future__ import annotations

import numpy as np

from training.evaluation.intervals import Floats

_SMALLEST = -1074
"""Exponent of the smallest float above 0."""


def unit(*values: Floats) -> float:
    """Power of two near the largest size among `values`: dividing by it is exact, and squares and fourth powers of the quotients (at most 4) are finite.

    1 where all are 0 or 1, or nothing is there, so that a 0/1 column stays one; no other column becomes one.
    """
    size = max((float(np.abs(v).max(initial=0.0)) for v in values), default=0.0)
    if all(np.isin(v, (0.0, 1.0)).all() for v in values):
        return 1.0
    return float(np.ldexp(1.0, max(int(np.frexp(size)[1]) - 2, _SMALLEST)))
