"""Why an arm won, for members in parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from training.evaluation.arm_shares import shares_by
from training.evaluation.intervals import Floats
from training.evaluation.policy_difference import Log
from training.evaluation.units import Flags

SHOWN_ARMS = 6
"""Arms kept of a segment, the challenger's favourites."""


def segment_arms(
    log: Log, names: Sequence[str], means: Mapping[str, Floats], observed: Mapping[str, Floats], columns: Sequence[Mapping[str, Flags]]
) -> list[dict[str, Any]]:
    """Of each segment its name, its share of members, and its favourite arms as in `arm_shares`.

    `columns` hold the segments of one column each, by name: the decisions [n] that belong to them (`measured.split_by`). A member whose decisions
    fall in two segments counts in both.
    """
    members = int(log.cluster.max()) + 1
    found = []
    for parts in columns:
        code = np.full(len(log), -1, dtype=np.int64)
        for i, part in enumerate(parts.values()):
            code[part] = i
        arms = shares_by(log, names, means, observed, code)
        shares = [len(np.unique(log.cluster[part])) / members for part in parts.values()]
        found += [{"segment": name, "share": shares[i], "arms": arms[i][:SHOWN_ARMS]} for i, name in enumerate(parts)]
    return found
