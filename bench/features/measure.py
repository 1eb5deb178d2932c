"""What is measured: seconds of a materialization, milliseconds of a lookup, and whether two stores give the same."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from feast import FeatureStore

from bench.features.data import TYPES, VIEW, member
from bench.features.stores import Opened

REFERENCES = [f"{VIEW}:{name}" for name in TYPES]
BLOCK = 100
"""Lookups of one store in a row. Two stores that alternate by call would thrash a global cache of Feast's."""

AT_ONCE = 500
"""Members compared in one lookup."""


@dataclass(frozen=True)
class Difference:
    """Values compared and how many of them differ in type or in any bit; `first` says where."""

    compared: int
    different: int
    first: str = ""


def seconds(opened: Opened) -> float:
    """Wall time of materializing the day."""
    begin = time.perf_counter()
    opened.materialize()
    return time.perf_counter() - begin


def lookups(stores: Mapping[str, FeatureStore], members: int, together: int, count: int) -> dict[str, dict[str, float]]:
    """Milliseconds of `get_online_features(...).to_dict()` for `together` members at once, by store; the same members for each, in turns of blocks.

    The first tenth of each block is not counted: there the caches fill.
    """
    rng = np.random.default_rng(1)
    times: dict[str, list[float]] = {name: [] for name in stores}
    for _ in range(max(1, count // BLOCK)):
        asked = [[{"member_id": member(int(i))} for i in rng.integers(0, members, together)] for _ in range(BLOCK + BLOCK // 10)]
        for name, store in stores.items():
            taken = []
            for entities in asked:
                begin = time.perf_counter()
                store.get_online_features(REFERENCES, entities).to_dict()
                taken.append(time.perf_counter() - begin)
            times[name] += taken[BLOCK // 10 :]
    return {name: {"p50_ms": _ms(taken, 50), "p99_ms": _ms(taken, 99)} for name, taken in times.items()}


def compare(stock: FeatureStore, ours: FeatureStore, members: int) -> Difference:
    """Every value and event time of every member, and of one absent member in each lookup."""
    compared = different = 0
    first = ""
    for begin in range(0, members, AT_ONCE):
        ids = [member(i) for i in range(begin, min(begin + AT_ONCE, members))] + [f"absent-{begin}"]
        theirs, mine = (_answer(store, ids) for store in (stock, ours))
        if list(theirs) != list(mine):
            return Difference(compared, len(theirs), f"names: {list(theirs)} and {list(mine)}")
        for name, values in theirs.items():
            wrong = [i for i, (a, b) in enumerate(zip(values, mine[name], strict=True)) if _bits(a) != _bits(b)]
            compared, different = compared + len(values), different + len(wrong)
            if wrong and not first:
                first = f"{name} of {ids[wrong[0]]}: {values[wrong[0]]!r} and {mine[name][wrong[0]]!r}"
    return Difference(compared, different, first)


def _answer(store: FeatureStore, ids: Sequence[str]) -> dict[str, list[Any]]:
    answer: dict[str, list[Any]] = store.get_online_features(REFERENCES, [{"member_id": i} for i in ids]).to_dict(include_event_timestamps=True)
    return answer


def _bits(value: object) -> object:
    """Floats by their bytes, so that -0.0 and NaN count; everything else with its type."""
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


def _ms(taken: Sequence[float], percent: float) -> float:
    return round(float(np.percentile(taken, percent)) * 1e3, 4)
