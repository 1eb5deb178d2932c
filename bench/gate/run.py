"""`rightmatch bench gate`: every measurement, each from a generator of its own, so that one more of them changes no other."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from bench.gate import scenarios
from bench.gate.coverage import coverage
from bench.gate.judged import ALPHA
from bench.gate.pictures import peeking, sequence_of_one, watching
from bench.gate.report import table
from bench.gate.watched import rollback
from bench.gate.worlds import Random, Sizes

PARTS: dict[str, Callable[[Random, Sizes], dict[str, Any]]] = {
    "promises": scenarios.promises,
    "rollback": rollback,
    "coverage": coverage,
    "seasons": scenarios.seasons,
    "novelty": scenarios.novelty,
    "dependence": scenarios.dependence,
    "segments": scenarios.segments,
    "sample_ratio": scenarios.splits,
}


def measure(sizes: Sizes, seed: int) -> dict[str, Any]:
    """The JSON object. Everything but `seconds` is a function of the arguments. Says on stderr how far it is."""
    start, found = perf_counter(), {}
    for i, (name, part) in enumerate(PARTS.items()):
        print(f"{perf_counter() - start:4.0f} s  {i + 1} of {len(PARTS)}: {name.replace('_', ' ')}", file=sys.stderr, flush=True)
        found[name] = part(np.random.default_rng([seed, i]), sizes)
    about = {
        "alpha": ALPHA,
        "experiments": sizes.experiments,
        "days": sizes.days,
        "members_a_day": sizes.daily,
        "members_a_day_in_ramps": scenarios.SEVERAL * sizes.daily,
        "looks": "daily",
        "seed": seed,
    }
    return {**found.pop("promises"), **found, "setting": about, "seconds": round(perf_counter() - start, 1)}


def gate(sizes: Sizes, seed: int, out: Path, *, as_json: bool) -> int:
    """Measure, and print JSON, or the table and where the pictures are."""
    found = measure(sizes, seed)
    if as_json:
        print(json.dumps(found, allow_nan=False))
        return 0
    rngs = (np.random.default_rng([seed, i]) for i in (100, 101, 102))
    files = [peeking(next(rngs), sizes, out), sequence_of_one(next(rngs), out), watching(next(rngs), sizes, out)]
    print(table(found))
    print("\n".join(f"Picture: {file}" for file in files))
    return 0
