"""`rightmatch bench coldstart`: impressions that a new arm needs, by what the learner knows about it."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from bench.coldstart import log as logs
from bench.coldstart import world as worlds
from bench.coldstart.learners import LEARNERS, Learner, learners
from bench.coldstart.parity import COUNTS, errors, summary
from bench.coldstart.world import ColdWorld
from bench.curves import Curve, chart, save
from training.config.settings import ROOT
from training.domain.catalog import load_catalog
from training.model.threads import steady

WORLDS = {0.05: ("", (worlds.CREATIVE, worlds.UNSEEN, worlds.PAIR)), 0.2: ("_idiosyncratic", (worlds.CREATIVE, worlds.PAIR))}
"""Deviation of what no text tells (of log appeal): ending of the cases' names, and the cases that are measured there."""
AUDIENCE = 4000
NAMES = {"minilm": "sentence encoder", "hashed": "hashed words", "one_hot": "one-hot arms", "beta": "counts, Beta prior"}
COLUMNS = (
    *("reached_median", "reached_p90", "reached_within_50"),
    *("median", "p90", "share_within_50"),
    *("coverage", "coverage_after_1000", "median_error_before"),
)
"""Of the table, in order: the literal reading (within a tenth for the first time), the strict one (and it stays so), intervals, the error at first."""

Found = dict[str, dict[str, tuple[list[list[float]], list[list[bool]]]]]


@dataclass(frozen=True)
class Plan:
    """Size of the benchmark: `seeds` worlds from seed `first`, each with a log of `rows` decisions of `members` among `creatives` a product."""

    seeds: int
    first: int
    rows: int
    members: int
    creatives: int = worlds.CREATIVES
    learners: tuple[str, ...] = LEARNERS


def measure(plan: Plan, folder: Path, as_json: bool) -> int:
    """Measure, draw a plot a case into `folder`, print the table or one JSON object; returns the exit code."""
    steady()
    found: Found = defaultdict(lambda: defaultdict(lambda: ([], [])))
    for seed in range(plan.first, plan.first + plan.seeds):
        for idiosyncratic, (ending, cases) in WORLDS.items():
            told = _Told(f"seed {seed}, idiosyncratic {idiosyncratic}")
            cold = worlds.build(seed, plan.members, idiosyncratic, load_catalog(ROOT / "dbt" / "seeds" / "simulated"), plan.creatives)
            rng = np.random.default_rng([seed, 41])
            known = logs.people(cold, rng)
            ready = learners(logs.log(cold, known, plan.rows, rng), cold.catalog, seed, plan.learners, told)
            for case in cases:
                told(f"showing the arms of {case}")
                for arm in cold.cases[case]:
                    _show(cold, known, arm, ready, found[case + ending])
    plots = [str(_plot(case, by, folder)) for case, by in found.items()]
    cases_ = {case: {name: summary(*both) for name, both in by.items()} for case, by in found.items()}
    print(json.dumps({"seeds": plan.seeds, "cases": cases_, "plots": plots}) if as_json else _table(cases_, plots))
    return 0


def _show(cold: ColdWorld, known: logs.People, arm: str, ready: dict[str, Learner], found: dict[str, tuple[list[list[float]], list[list[bool]]]]) -> None:
    """Show `arm` to its audience; every learner sees the same answers of the same members."""
    rng = np.random.default_rng([cold.world.seed, 42, list(cold.catalog.arms).index(arm)])
    people = logs.audience(cold, arm)
    people = rng.choice(people, min(AUDIENCE, len(people)), replace=False)
    rows = logs.rows_of(cold, known, people, [arm] * len(people), np.full(len(people), logs.DAYS))
    truth = logs.click_rates(cold, people, arm)
    shown = rng.integers(0, len(people), COUNTS[-1])
    clicked = (rng.random(len(shown)) < truth[shown]).astype(np.float64)
    for name, learner in ready.items():
        far, held = errors(learner(rows), truth, shown, clicked)
        found[name][0].append(far)
        found[name][1].append(held)


class _Told:
    """Progress on standard error, with the seconds since the start."""

    def __init__(self, about: str) -> None:
        self.about, self.started = about, monotonic()

    def __call__(self, what: str) -> None:
        print(f"coldstart: {self.about}: {what} ({monotonic() - self.started:.0f} s)", file=sys.stderr, flush=True)


def _plot(case: str, by: dict[str, tuple[list[list[float]], list[list[bool]]]], folder: Path) -> Path:
    x = [float(np.log10(1 + count)) for count in COUNTS]
    curves = {NAMES[name]: Curve(x, [float(v) for v in 100 * np.median(both[0], axis=0)]) for name, both in by.items()}
    return save(folder / f"coldstart_{case}.svg", chart(case.replace("_", " "), "log10(1 + impressions)", "median error of the rate, %", curves))


def _table(cases: dict[str, dict[str, dict[str, Any]]], plots: list[str]) -> str:
    """Markdown."""
    lines = [
        "| case | learner | reached: median | 90% quantile | by 50 | stays: median | 90% quantile | by 50 | interval covers | after 1,000 | error before |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for case, by in cases.items():
        for name, s in by.items():
            told = [_cell(s[k], k) for k in COLUMNS]
            lines.append(f"| {case.replace('_', ' ')} | {NAMES[name]} | {' | '.join(told)} |")
    return "\n".join([*lines, "", *(f"plot: {p}" for p in plots)])


def _cell(value: float | None, column: str) -> str:
    """A count of impressions, or a share."""
    if value is None:
        return "not reached"
    return f"{value:,.0f}" if column.endswith(("median", "p90")) else f"{value:.0%}"
