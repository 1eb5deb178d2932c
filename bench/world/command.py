"""`rightmatch bench world`: what each policy is worth in the simulated world."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from pathlib import Path
from time import monotonic
from typing import Any

from bench.world.baselines import Oracle, Uniform
from bench.world.crew import Alone, Crew, Processes, Task
from bench.world.lints import LinTS
from bench.world.loop import Player, Stage, play, warm_up
from bench.world.ours import Ours, silent
from bench.world.report import ORACLE, OURS, SILOED, UNIFORM, Days, plots, report, table, totals
from bench.world.siloed import Siloed
from bench.world.warehouse import Model, compiled
from training.config.settings import Settings
from training.model.threads import steady


@dataclass(frozen=True)
class Sizes:
    """What is run: seeds `first` to `first + seeds - 1`; learners fit anew every `every` days; at most `jobs` policies play at once."""

    members: int
    days: int
    seeds: int
    first: int
    warm_up: int
    every: int
    jobs: int


@dataclass(frozen=True)
class Played:
    """The days of one policy in the world of one seed."""

    seed: int
    name: str
    days: Days


Answer = Stage | Played
World = tuple[int, float, Mapping[str, Days]]
"""Seed, members present, days of each policy."""


def run(sizes: Sizes, out: Path, *, as_json: bool) -> int:
    """Play every policy in the world of each seed; prints the report. Returns 0."""
    steady()
    settings, started = Settings(members=sizes.members), monotonic()
    tell("compiling the models with dbt")
    models = compiled(settings)
    with tempfile.TemporaryDirectory() as folder, crew_of(sizes.jobs) as crew:
        worlds = played(sizes, models, settings, Path(folder), crew)
    files = [str(f) for f in plots(worlds, out)]
    found: dict[str, Any] = {**report(worlds), **vars(sizes), "plots": files, "seconds": round(monotonic() - started, 1)}
    print(json.dumps(found) if as_json else "\n".join([table(found), *files]))
    return 0


def crew_of(jobs: int) -> AbstractContextManager[Crew[Answer]]:
    """This process alone for one job, else so many others."""
    return nullcontext(Alone[Answer]()) if jobs == 1 else Processes[Answer](jobs, steady)


def played(sizes: Sizes, models: tuple[Model, ...], settings: Settings, folder: Path, crew: Crew[Answer]) -> list[World]:
    """The worlds of all seeds, with every policy's days in the order of `players`. A world's file is gone once all have played in it."""
    seeds = range(sizes.first, sizes.first + sizes.seeds)
    stages, days = dict[int, Stage](), dict[int, dict[str, Days]]()

    def plays(stage: Stage) -> list[Task[Answer]]:
        there = players(stage.world.seed, sizes, settings)
        stages[stage.world.seed], days[stage.world.seed] = stage, dict.fromkeys(there, ())
        return [partial(shown, name, stage, there[name], sizes, models, settings) for name in longest_first(there)]

    for found in answers(crew, (partial(warmed, seed, sizes, models, settings, folder) for seed in seeds), plays):
        days[found.seed][found.name] = found.days
        if all(days[found.seed].values()):
            stages[found.seed].file.unlink()
    return [(seed, float(stages[seed].present), days[seed]) for seed in seeds]


def answers(crew: Crew[Answer], warm_ups: Iterator[Task[Answer]], plays: Callable[[Stage], list[Task[Answer]]]) -> Iterator[Played]:
    """What each policy has played, as it comes. Who is free lets a policy play, the first of each world before the second of any; where none waits, warms up
    the next world. So no more worlds are on the disk than two for each that can be done at once.
    """
    waiting: list[tuple[int, Task[Answer]]] = []
    while True:
        while crew.free and (task := waiting.pop(0)[1] if waiting else next(warm_ups, None)):
            crew.give(task)
        if not crew.busy:
            return
        found = crew.answer()
        if isinstance(found, Stage):
            waiting = sorted([*waiting, *enumerate(plays(found))], key=itemgetter(0))
        else:
            yield found


def longest_first(there: Mapping[str, Player]) -> list[str]:
    """Names in the order of playing. Ours takes longest, and is the one that a small log may not be enough for; who learns nothing is done soonest."""
    return sorted(there, key=lambda name: (name != OURS, not there[name].learns))


def warmed(seed: int, sizes: Sizes, models: tuple[Model, ...], settings: Settings, folder: Path) -> Stage:
    """The world of `seed` as all policies find it."""
    tell(f"seed {seed}: {sizes.warm_up} days of the uniform policy for {sizes.members:,} members")
    return warm_up(seed, sizes.members, (sizes.warm_up, None), models, settings, folder)


def players(seed: int, sizes: Sizes, settings: Settings) -> dict[str, Player]:
    """All policies, by name."""
    return {
        UNIFORM: Uniform(),
        SILOED: Siloed(settings, sizes.every),
        "lints": LinTS(settings, seed, sizes.every),
        OURS: Ours(settings, seed, sizes.every, silent),
        ORACLE: Oracle(),
    }


def shown(name: str, stage: Stage, player: Player, sizes: Sizes, models: tuple[Model, ...], settings: Settings) -> Played:
    """The days of one policy, with a line of progress a week and its figures at the end."""
    started, days = monotonic(), list[dict[str, float]]()
    for day in play(stage, player, sizes.days, models, settings):
        days.append(day)
        if len(days) % 7 == 0 or len(days) == sizes.days:
            tell(f"seed {stage.world.seed}, {name}: day {len(days)} of {sizes.days}, {monotonic() - started:.0f} s")
    found = totals(days, stage.present)
    tell(f"seed {stage.world.seed}, {name}: a member has brought {found['utility']:.2f} of utility and {found['conversion']:.4f} conversions")
    return Played(stage.world.seed, name, days)


def tell(words: str) -> None:
    """Progress, to standard error; in one piece, as several processes write there."""
    print(f"{words}\n", end="", file=sys.stderr, flush=True)
