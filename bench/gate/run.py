"""`rightmatch bench gate`: every measurement, each from a generator of its own, so that one more of them changes no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from bench.gate import scenarios
from bench.gate.coverage import coverage
from bench.gate.judged import ALPHA
from bench.gate.pictures import peeking, sequence_of_one
from bench.gate.report import table
from bench.gate.watched import rollback
from bench.gate.worlds import Random, Sizes

PARTS: dict[str, Callable[[Random, Sizes], dict[str, Any]]] = {
    "rollback": rollback,
    "coverage": coverage,
    "seasons": scenarios.seasons,
    "novelty": scenarios.novelty,
    "dependence": scenarios.dependence,
    "segments": scenarios.segments,
    "sample_ratio": scenarios.splits,
}


def measure(sizes: Sizes, seed: int) -> dict[str, Any]:
    """The JSON object. Everything but `seconds` is a function of the arguments."""
    start = perf_counter()
    found = scenarios.promises(np.random.default_rng([seed, 0]), sizes)
    found |= {name: part(np.random.default_rng([seed, i]), sizes) for i, (name, part) in enumerate(PARTS.items(), 1)}
    about = {"alpha": ALPHA, "experiments": sizes.experiments, "days": sizes.days, "members_a_day": sizes.daily, "looks": "daily", "seed": seed}
    return {**found, "setting": about, "seconds": round(perf_counter() - start, 1)}


def gate(sizes: Sizes, seed: int, out: Path, *, as_json: bool) -> int:
    """Measure, and print JSON, or the table and where the pictures are."""
    found = measure(sizes, seed)
    if as_json:
        print(json.dumps(found, allow_nan=False))
        return 0
    files = [peeking(np.random.default_rng([seed, 100]), sizes, out), sequence_of_one(np.random.default_rng([seed, 101]), out)]
    print(table(found))
    print("\n".join(f"Picture: {file}" for file in files))
    return 0
