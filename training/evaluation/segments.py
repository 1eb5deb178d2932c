"""Members in parts: by the values of a column, or a number by its edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from training.evaluation.arm_shares import shares_by
from training.evaluation.intervals import Floats, Ints
from training.evaluation.looks import LEAST_SHARE
from training.evaluation.policy_difference import Log

UNKNOWN = "unknown"
SHOWN_ARMS = 6
"""Arms kept of a segment, the challenger's favourites."""


def segment_names(column: str, values: npt.NDArray[Any], edges: Sequence[float] = ()) -> npt.NDArray[np.object_]:
    """The segment of each of `values` [n]: `country=DE`, or with `edges` `tenure_days<180` and `tenure_days>=180`; a missing value is `country=unknown`."""
    if not edges:
        return np.array([f"{column}={UNKNOWN if value is None or value != value else value}" for value in values], dtype=object)  # noqa: PLR0124 - NaN
    numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    between = [f"{column}={low:g} to {high:g}" for low, high in pairwise(edges)]
    names = np.array([f"{column}<{edges[0]:g}", *between, f"{column}>={edges[-1]:g}", f"{column}={UNKNOWN}"], dtype=object)
    return np.asarray(names[np.where(np.isnan(numbers), len(edges) + 1, np.searchsorted(edges, numbers, side="right"))], dtype=object)


def segment_arms(
    log: Log, names: Sequence[str], means: Mapping[str, Floats], observed: Mapping[str, Floats], segments: Mapping[str, npt.NDArray[np.object_]]
) -> list[dict[str, Any]]:
    """Of each segment with a tenth of the members or more: its name, its share of members, and its favourite arms as in `arm_shares`.

    `segments` names the segment of each decision [n] by column; a member whose decisions fall in two of them counts in both.
    """
    members = int(log.cluster.max()) + 1
    found = []
    for each in segments.values():
        kinds, code = np.unique(each.astype(str), return_inverse=True)
        pairs = np.unique(code.astype(np.int64) * members + log.cluster)
        share = np.bincount(pairs // members, minlength=len(kinds)) / members
        arms = shares_by(log, names, means, observed, _kept(code, share))
        kept = np.flatnonzero(share >= LEAST_SHARE)
        found += [{"segment": str(kinds[k]), "share": float(share[k]), "arms": arms[i][:SHOWN_ARMS]} for i, k in enumerate(kept)]
    return found


def _kept(code: Ints, share: Floats) -> Ints:
    """Large segments numbered from 0, the others -1."""
    large = share >= LEAST_SHARE
    return np.asarray(np.where(large, np.cumsum(large) - 1, -1)[code], dtype=np.int64)
