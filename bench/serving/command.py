"""`rightmatch bench serving`: what a decision costs over HTTP, beside Feast's own feature server; and what the service costs otherwise."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from bench.curves import Curve, chart, save
from bench.names import chosen
from bench.serving import feast_server, parts
from bench.serving.during import during
from bench.serving.inside import in_process
from bench.serving.report import Report, show
from bench.serving.rounds import Plan, say
from bench.serving.setup import Home, build
from bench.serving.start import start

FIGURES, PLOT = "serving.json", "serving_arms.svg"
PARTS = ("http", "in_process", "start", "workers", "arms", "during")


@dataclass(frozen=True)
class Sizes:
    """Members online, arms of the champion, rounds and the seconds of each."""

    members: int
    arms: int
    plan: Plan


def parts_of(words: str | None) -> tuple[str, ...]:
    """The parts that `words` name, all without. Raises ConfigError as `chosen`."""
    return PARTS if words is None else chosen(words, PARTS, "parts")


def serving(sizes: Sizes, wanted: tuple[str, ...], now: datetime, out: Path, *, as_json: bool) -> int:
    """Set up, measure what is `wanted`, print each part as it ends. Features are of the last midnight before `now`. Returns 1 where a part failed."""
    at = now.replace(hour=0, minute=0, second=0, microsecond=0)
    report = Report(out / FIGURES, {"members": sizes.members, "arms_considered": sizes.arms}, (lambda _: None) if as_json else show)
    with tempfile.TemporaryDirectory(prefix="rightmatch_serving_") as name:
        folder = Path(name)
        say(f"Training a champion over {sizes.arms} arms, and bringing {sizes.members:,} members online.")
        home = build(folder / "home", sizes.arms, sizes.members, at, seed=1)
        for part, measure in _parts(home, folder, sizes.plan).items():
            if part in wanted:
                report.part(part, measure)
    if as_json:
        print(json.dumps(report.found))
    elif "arms" in report.found:
        print(f"{'plot':44} {save(out / PLOT, picture(report.found['arms']))}")
    return 0 if report.whole else 1


def _parts(home: Home, folder: Path, plan: Plan) -> dict[str, Callable[[], Mapping[str, Any]]]:
    """Each part by its name, in their order."""

    @cache
    def feast() -> Path:
        say("filling Feast's own online store for its own server")
        feast_server.prepare(home.settings, folder / "feast", home.at)
        return folder / "feast"

    return {
        "http": lambda: parts.http(home, feast(), plan),
        "in_process": lambda: {"in_process": in_process(home, feast())},
        "start": lambda: start(home),
        "workers": lambda: parts.workers(home, folder, plan),
        "arms": lambda: parts.arms(home, folder, home.at, plan),
        "during": lambda: during(home),
    }


def picture(arms: Mapping[str, Mapping[str, float]]) -> str:
    """Latency against the number of arms."""
    counts = [float(n) for n in arms]
    curves = {label: Curve(counts, [each[name] for each in arms.values()]) for label, name in (("p50", "p50_ms"), ("p99", "p99_ms"))}
    return chart("A decision over HTTP by the number of arms", "arms", "milliseconds", curves)
