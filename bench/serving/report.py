"""What was measured so far, kept in a file after each part: a run that is stopped, or a part that fails, loses no other part."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from bench.serving.rounds import say
from training.domain.errors import RightmatchError

GOALS = {"ratio.p50": ("at most", 0.5), "ratio.p99": ("at most", 0.5), "ratio.throughput": ("at least", 4.0), "in_process.ratio": ("at most", 1.0)}
FAILED = "failed"


class Report:
    """Starts with `about`; `path` always holds one whole JSON object. `tell` hears of each part's figures when it ends."""

    def __init__(self, path: Path, about: Mapping[str, Any], tell: Callable[[Mapping[str, Any]], None]) -> None:
        self._path, self._tell = path, tell
        self.found: dict[str, Any] = {**about, "seconds": {}}
        self._write()

    @property
    def whole(self) -> bool:
        """Whether no part failed."""
        return FAILED not in self.found

    def part(self, name: str, measure: Callable[[], Mapping[str, Any]]) -> None:
        """Measure, and add what comes of it; where it fails, why, under `failed`: the next part can be measured all the same."""
        begin = perf_counter()
        say(f"Part {name}.")
        try:
            added = dict(measure())
        except (RightmatchError, OSError, RuntimeError, ValueError) as error:
            self.found.setdefault(FAILED, {})[name] = f"{type(error).__name__}: {error}"
            say(f"Part {name} failed, the others go on. {error}")
        else:
            self.found |= added
            self._tell(added)
        self.found["seconds"][name] = round(perf_counter() - begin, 1)
        self._write()
        say(f"Part {name} took {self.found['seconds'][name]:g} s. All that was measured so far is in {self._path}.")

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        aside = self._path.with_suffix(".tmp")
        aside.write_text(json.dumps(self.found, indent=1), encoding="utf-8")
        aside.replace(self._path)


def show(report: Mapping[str, Any]) -> None:
    """One figure a line, with its goal where it has one."""
    for name, value in flat(report):
        bound, goal = GOALS.get(name, ("", 0.0))
        words = ""
        if bound:
            met = value <= goal if bound == "at most" else value >= goal
            words = f"   goal: {bound} {goal:g}, {'met' if met else 'MISSED'}"
        print(f"{name:44} {value:,}{words}" if isinstance(value, (int, float)) else f"{name:44} {value}", flush=True)


def flat(part: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Names joined by points; `detail` is for JSON alone."""
    for name, value in part.items():
        if isinstance(value, Mapping):
            if name != "detail":
                yield from flat(value, f"{before}{name}.")
        else:
            yield before + name, value
