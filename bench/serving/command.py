"""`rightmatch bench serving`: what a decision costs over HTTP, beside Feast's own feature server; and what the service costs otherwise."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.curves import Curve, chart, save
from bench.serving import feast_server, parts
from bench.serving.rounds import Plan, say
from bench.serving.setup import Home, build, deciding
from training.cli.stopping import stoppable
from training.domain.errors import ConfigError

PARTS = ("http", "in_process", "workers", "arms", "during")
GOALS = {"ratio.p50": ("at most", 0.5), "ratio.p99": ("at most", 0.5), "ratio.throughput": ("at least", 4.0), "in_process.ratio": ("at most", 1.0)}


@dataclass(frozen=True)
class Sizes:
    """Members online, arms of the champion, rounds and the seconds of each."""

    members: int
    arms: int
    plan: Plan


def parts_of(words: str | None) -> tuple[str, ...]:
    """The parts that `words` name, all without. Raises ConfigError for a name that is none."""
    named = tuple(w.strip() for w in words.split(",")) if words else PARTS
    unknown = [name for name in named if name not in PARTS]
    if unknown:
        raise ConfigError(f"There is no part {unknown[0]!r} of this benchmark, so nothing was measured. Use some of {', '.join(PARTS)}.")
    return named


def serving(sizes: Sizes, wanted: tuple[str, ...], now: datetime, out: Path, *, as_json: bool) -> int:
    """Set up, measure what is `wanted`, print it. Features are of the last midnight before `now`."""
    at = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with stoppable(), tempfile.TemporaryDirectory(prefix="rightmatch_serving_") as name:
        folder = Path(name)
        say(f"Training a champion over {sizes.arms} arms, and bringing {sizes.members:,} members online.")
        home = build(folder / "home", sizes.arms, sizes.members, at, seed=1)
        report: dict[str, Any] = {"members": sizes.members, "arms_considered": sizes.arms} | _measured(home, folder, wanted, sizes)
    if as_json:
        print(json.dumps(report))
    else:
        show(report)
        if "arms" in report:
            print(f"{'plot':44} {save(out / 'serving_arms.svg', picture(report['arms']))}")
    return 0


def _measured(home: Home, folder: Path, wanted: tuple[str, ...], sizes: Sizes) -> dict[str, Any]:
    feast = folder / "feast"
    report: dict[str, Any] = {}
    if {"http", "in_process"} & set(wanted):
        say("Filling Feast's own online store for its own server.")
        feast_server.prepare(home.settings, feast, home.at)
    if "http" in wanted:
        report |= parts.http(home, feast, sizes.plan)
    if "in_process" in wanted:
        from bench.serving.inside import in_process

        report["in_process"] = in_process(home, feast)
    if "workers" in wanted:
        report["workers"] = parts.workers(home, sizes.plan)
    if "arms" in wanted:
        report["arms"] = parts.arms(home, folder, home.at, sizes.plan)
    if "during" in wanted:
        from bench.serving.during import during

        with deciding(home) as server:
            report["during"] = during(home, server.address)
    return report


def show(report: Mapping[str, Any]) -> None:
    """One figure a line, with its goal where it has one."""
    for name, value in flat(report):
        bound, goal = GOALS.get(name, ("", 0.0))
        words = ""
        if bound:
            met = value <= goal if bound == "at most" else value >= goal
            words = f"   goal: {bound} {goal:g}, {'met' if met else 'MISSED'}"
        print(f"{name:44} {value:,}{words}" if isinstance(value, (int, float)) else f"{name:44} {value}")


def flat(part: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Names joined by points; `detail` is for JSON alone."""
    for name, value in part.items():
        if isinstance(value, Mapping):
            if name != "detail":
                yield from flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def picture(arms: Mapping[str, Mapping[str, float]]) -> str:
    """Latency against the number of arms."""
    counts = [float(n) for n in arms]
    curves = {label: Curve(counts, [each[name] for each in arms.values()]) for label, name in (("p50", "p50_ms"), ("p99", "p99_ms"))}
    return chart("A decision over HTTP by the number of arms", "arms", "milliseconds", curves)
