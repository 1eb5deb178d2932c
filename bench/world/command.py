"""`rightmatch bench world`: what each policy is worth in the simulated world."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

from bench.world.baselines import Oracle, Uniform
from bench.world.lints import LinTS
from bench.world.loop import Player, Stage, play, warm_up
from bench.world.ours import Ours
from bench.world.report import ORACLE, OURS, SILOED, UNIFORM, Days, plots, report, table, totals
from bench.world.siloed import Siloed
from bench.world.warehouse import Model, compiled
from training.config.settings import Settings
from training.model.threads import steady


@dataclass(frozen=True)
class Sizes:
    """What is run: seeds `first` to `first + seeds - 1`; learners fit anew every `every` days."""

    members: int
    days: int
    seeds: int
    first: int
    warm_up: int
    every: int


def run(sizes: Sizes, out: Path, *, as_json: bool) -> int:
    """Play every policy in the world of each seed; prints the report. Returns 0."""
    steady()
    settings, started = Settings(members=sizes.members), monotonic()
    tell("compiling the models with dbt")
    models = compiled(settings)
    with tempfile.TemporaryDirectory() as folder:
        worlds = [one_world(seed, sizes, models, settings, Path(folder)) for seed in range(sizes.first, sizes.first + sizes.seeds)]
    files = [str(f) for f in plots(worlds, out)]
    found: dict[str, Any] = {**report(worlds), **vars(sizes), "plots": files, "seconds": round(monotonic() - started, 1)}
    print(json.dumps(found) if as_json else "\n".join([table(found), *files]))
    return 0


def one_world(seed: int, sizes: Sizes, models: tuple[Model, ...], settings: Settings, folder: Path) -> tuple[int, float, Mapping[str, Days]]:
    """(seed, members present, days of each policy)."""
    tell(f"seed {seed}: {sizes.warm_up} days of the uniform policy for {sizes.members:,} members")
    stage = warm_up(seed, sizes.members, (sizes.warm_up, None), models, settings, folder)
    there = players(seed, sizes, settings)
    ours_first = sorted(there, key=lambda name: name != OURS)  # the one that a small log may not be enough for, before the others have taken minutes
    played = {name: shown(name, stage, there[name], sizes, models, settings) for name in ours_first}
    stage.file.unlink()
    return seed, float(stage.present), {name: played[name] for name in there}


def players(seed: int, sizes: Sizes, settings: Settings) -> dict[str, Player]:
    """All policies, by name."""
    return {
        UNIFORM: Uniform(),
        SILOED: Siloed(settings, sizes.every),
        "lints": LinTS(settings, seed, sizes.every),
        OURS: Ours(settings, seed, sizes.every, lambda _: None),
        ORACLE: Oracle(),
    }


def shown(name: str, stage: Stage, player: Player, sizes: Sizes, models: tuple[Model, ...], settings: Settings) -> list[dict[str, float]]:
    """The days of one policy, with a line of progress a week and its figures at the end."""
    started, days = monotonic(), list[dict[str, float]]()
    for day in play(stage, player, sizes.days, models, settings):
        days.append(day)
        if len(days) % 7 == 0 or len(days) == sizes.days:
            tell(f"seed {stage.world.seed}, {name}: day {len(days)} of {sizes.days}, {monotonic() - started:.0f} s")
    found = totals(days, stage.present)
    tell(f"seed {stage.world.seed}, {name}: a member has brought {found['utility']:.2f} of utility and {found['conversion']:.4f} conversions")
    return days


def tell(words: str) -> None:
    """Progress, to standard error."""
    print(words, file=sys.stderr, flush=True)
