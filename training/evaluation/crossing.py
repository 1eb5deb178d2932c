"""How often Brownian motion crosses a curved boundary, and the level at which a boundary is crossed exactly as often as wanted.

Standardised, z(u) = B(e^u) / e^(u/2) is an Ornstein-Uhlenbeck process: in steps of equal log information every transition is the same, so the
law of z below the boundary is carried forward by one matrix (Armitage, McPherson and Rowe 1969). Between the steps the path may cross and come back;
the boundary is moved in by 0.5826 standard deviations of a step to allow for that (Broadie, Glasserman and Kou 1997, theorem 1): looks may be taken at
any time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy import sparse, stats

from training.evaluation.intervals import Floats

STEPS = 240
LOWEST, WIDTH = -7.0, 0.025
"""The grid of z begins where nothing is, in cells a quarter of a step's deviation wide."""
NOWHERE = 1e-20
"""Least probability of a step between two cells that is counted: all others together are less than a rounding error."""
SHIFT = 0.5826
"""-zeta(1/2) / sqrt(2 pi)."""

Boundary = Callable[[Floats, Floats], Floats]
"""(progress [k, 1], level [m]) -> height of z [k, m]."""


def crossing(boundary: Boundary, levels: Floats, first: float, last: float) -> Floats:
    """Probability [m] that z exceeds the boundary of each of `levels` [m] anywhere in progress `first` to `last`."""
    step = np.log(last / first) / STEPS
    progress = first * np.exp(step * np.arange(STEPS + 1))
    heights = boundary(progress[:, None], levels)
    heights[1:] -= SHIFT * np.sqrt(step)
    cells = np.arange(LOWEST, float(heights.max()) + WIDTH, WIDTH)
    move = _transition(cells, step)
    law = stats.norm.pdf(cells)[:, None] * WIDTH * _below(cells, heights[0])
    for height in heights[1:]:
        law = (move @ law) * _below(cells, height)
    return np.asarray(1.0 - law.sum(axis=0))


def level_of(boundary: Boundary, alpha: float, first: float, last: float) -> float:
    """The level at which the boundary is crossed with probability `alpha` between `first` and `last`; a higher level is a lower boundary."""
    levels = alpha * np.geomspace(1.0, 6.0, 25)
    levels = levels[levels < 0.5]  # noqa: PLR2004 - a one-sided level
    return float(np.interp(alpha, crossing(boundary, levels, first, last), levels))


def _transition(cells: Floats, step: float) -> sparse.csr_array:
    """Entry [i, j]: probability of cell i after cell j. Sparse, also because a dense product would ask the BLAS, which on a busy machine takes twelve times
    as much of two processors as of one, and gives other last digits.
    """
    keep = np.exp(-step / 2.0)
    move = stats.norm.pdf(cells[:, None], keep * cells[None, :], np.sqrt(1.0 - keep**2)) * WIDTH
    return sparse.csr_array(np.where(move > NOWHERE, move, 0.0))


def _below(cells: Floats, heights: Floats) -> Floats:
    """Share [cells, m] of each cell that lies below the heights [m]."""
    return np.clip((heights[None, :] - cells[:, None]) / WIDTH + 0.5, 0.0, 1.0)
