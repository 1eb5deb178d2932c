"""The closed loop: a policy decides, the world answers, the policy learns from its own log; and what all that was truly worth, day by day."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Protocol

from bench.world.history import History
from bench.world.score import Worth, worth
from bench.world.warehouse import Model, Warehouse
from sources.simulated.day import simulate_day
from sources.simulated.members import Members, draw_members
from sources.simulated.policy import Asked, Chosen, Menus, Policy, build_menus
from sources.simulated.state import State, first_state
from sources.simulated.world import World, build_world
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError, NotReadyError

START = date(2026, 1, 5)


class Player(Protocol):
    """One policy with a memory."""

    @property
    def learns(self) -> bool:
        """Whether it reads its log; of one that does not, no features are built."""

    def learn(self, history: History, yesterday: date) -> None:
        """Take in what was known at the end of `yesterday`. Called each day before the first decision."""

    def decide(self, history: History, asked: Asked, truth: Worth) -> Chosen:
        """Decide the day's decisions. Only an oracle may read `truth`."""


@dataclass(frozen=True)
class Stage:
    """A world after its warm-up under the uniform policy: everyone starts here. `file` holds its raw rows, features and labels; `present` counts the
    members who have joined and not left.
    """

    world: World
    members: Members
    menus: Menus
    state: State
    file: Path
    present: int


def warm_up(seed: int, size: int, days: tuple[int, int | None], models: tuple[Model, ...], settings: Settings, folder: Path) -> Stage:
    """Run `days[0]` days under the uniform policy in the world of `seed`, whose needs change on day `days[1]`, and build its marts."""
    world = build_world(seed, size, START, load_catalog(settings.catalog), days[1])
    members, menus = draw_members(world), build_menus(world)
    file = folder / f"warm-{seed}.duckdb"
    warehouse, state = Warehouse(models, settings.catalog, file), first_state(world, members)
    for day in range(days[0]):
        state, tables, _ = simulate_day(world, members, menus, state)
        warehouse.land(world.day(day), tables)
    warehouse.build(world.day(days[0] - 1), first=True)
    warehouse.close()
    there = ~state.lapsed & (members.joined_day <= state.day)
    return Stage(world, members, menus, state, file, int(there.sum()))


def play(stage: Stage, player: Player, days: int, models: tuple[Model, ...], settings: Settings) -> Iterator[dict[str, float]]:
    """Let `player` decide for `days` days in a copy of the world; yields the expected sums (score.MEASURES) of each day.

    Raises ConfigError where the log of the warm-up is too small to learn from.
    """
    copy = stage.file.with_name(f"{stage.file.stem}-{os.getpid()}-{id(player)}.duckdb")
    shutil.copyfile(stage.file, copy)
    warehouse = Warehouse(models, settings.catalog, copy)
    history = History(stage.world, stage.menus, warehouse, settings.training.window_days)
    state = stage.state
    try:
        for _ in range(days):
            _learned(player, history, stage, state.day)
            seen: list[dict[str, float]] = []
            state, tables, _ = simulate_day(stage.world, stage.members, stage.menus, state, _watched(stage, history, player, settings, seen.append))
            if player.learns:
                warehouse.land(stage.world.day(state.day), tables)
                warehouse.build(stage.world.day(state.day))
            yield seen[0]
    finally:
        warehouse.close()
        copy.unlink(missing_ok=True)


def _learned(player: Player, history: History, stage: Stage, day: int) -> None:
    """A learner's own error speaks of waiting, which a simulation does not do."""
    try:
        player.learn(history, stage.world.day(day))
    except NotReadyError as error:
        raise ConfigError(
            f"{stage.world.members:,} members have left too little in {day + 1} days for a policy to learn from: {str(error).split(':')[0]}. "
            "Raise --members, or --warm-up, which gives each of them more decisions."
        ) from error


def _watched(stage: Stage, history: History, player: Player, settings: Settings, keep: Callable[[dict[str, float]], None]) -> Policy:
    """`player` as the world calls it, its expected sums kept."""

    def policy(menus: Menus, asked: Asked) -> Chosen:
        truth = worth(stage.world, stage.members, menus, asked, settings.utility)
        chosen = player.decide(history, asked, truth)
        keep(truth.expected(chosen.probabilities))
        return chosen

    return policy
