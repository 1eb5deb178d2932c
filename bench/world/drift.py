"""`rightmatch bench drift`: how long it takes to recover when members suddenly need something else, with and without forgetting.

Recovered: the mean over SMOOTH days of the share of the oracle's gain over uniform, in expected utility a decision, is back at BACK of what it was in the
days before the change. Every policy lives in its own copy of the same changing world.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from bench.curves import Curve, chart, save
from bench.world.baselines import Oracle, Uniform
from bench.world.command import tell
from bench.world.forgetful import Forgetful
from bench.world.loop import Player, play, warm_up
from bench.world.ours import Ours, silent
from bench.world.report import Days
from bench.world.warehouse import Model, compiled
from training.config.settings import Settings
from training.model.threads import steady

SMOOTH, BACK = 3, 0.9
REMEMBERING, FORGETTING = "remembering", "forgetting"


@dataclass(frozen=True)
class Change:
    """Worlds `first` to `first + seeds - 1`: `warm_up` days of uniform, then the policies decide `before` days, needs change, and they decide `after` days."""

    members: int
    seeds: int
    first: int
    warm_up: int
    before: int
    after: int
    every: int


def run(change: Change, out: Path, *, as_json: bool) -> int:
    """Play both learners and both ends of the scale in each changing world; prints the report. Returns 0."""
    steady()
    settings, started = Settings(members=change.members), monotonic()
    tell("compiling the models with dbt")
    models = compiled(settings)
    with tempfile.TemporaryDirectory() as folder:
        worlds = [one_world(seed, change, models, settings, Path(folder)) for seed in range(change.first, change.first + change.seeds)]
    shares = {name: np.mean([share(days, name) for days, _ in worlds], axis=0) for name in (REMEMBERING, FORGETTING)}
    curves = {name: Curve(list(range(1, len(y) + 1)), y.tolist()) for name, y in shares.items()}
    words = f"Share of the oracle's gain over uniform, each day ({SMOOTH}-day means); needs change after day {change.before}"
    file = save(out / "world-drift.svg", chart(words, "day", "share of the oracle's gain", curves))
    found: dict[str, Any] = {
        "measured": " ".join((__doc__ or "").split("\n\n")[1].split()),
        "recovery_days": {name: recovery(y, change.before) for name, y in shares.items()},
        "share_before": {name: float(y[change.before - 1]) for name, y in shares.items()},
        "share_after": {name: float(y[change.before :].mean()) for name, y in shares.items()},
        "per_seed": [{"half_lives": chosen, **{n: recovery(share(d, n), change.before) for n in (REMEMBERING, FORGETTING)}} for d, chosen in worlds],
        **vars(change),
        "plot": str(file),
        "seconds": round(monotonic() - started, 1),
    }
    print(json.dumps(found) if as_json else "\n".join(f"{name}: {value}" for name, value in found.items()))
    return 0


def one_world(seed: int, change: Change, models: tuple[Model, ...], settings: Settings, folder: Path) -> tuple[Mapping[str, Days], list[float | None]]:
    """The days of each policy, and the half-lives that were chosen."""
    stage = warm_up(seed, change.members, (change.warm_up, change.warm_up + change.before), models, settings, folder)
    forgetful = Forgetful(settings, seed, change.every, silent)
    players: dict[str, Player] = {
        "uniform": Uniform(),
        "oracle": Oracle(),
        REMEMBERING: Ours(settings, seed, change.every, silent),
        FORGETTING: forgetful,
    }
    played: dict[str, Days] = {}
    for name, player in players.items():
        days, started = list[Mapping[str, float]](), monotonic()
        for day in play(stage, player, change.before + change.after, models, settings):
            days.append(day)
            if len(days) % 7 == 0:
                tell(f"seed {seed}, {name}: day {len(days)} of {change.before + change.after}, {monotonic() - started:.0f} s")
        played[name] = days
    stage.file.unlink()
    return played, forgetful.chosen


def share(played: Mapping[str, Days], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Share of the oracle's gain over uniform in utility a decision, each day, as means of the SMOOTH days that end with it."""
    daily = {n: np.array([d["utility"] / max(d["decisions"], 1.0) for d in played[n]]) for n in (name, "uniform", "oracle")}
    raw = (daily[name] - daily["uniform"]) / (daily["oracle"] - daily["uniform"])
    return np.array([raw[max(0, i - SMOOTH + 1) : i + 1].mean() for i in range(len(raw))])


def recovery(shares: Sequence[float] | np.ndarray[Any, np.dtype[np.float64]], before: int) -> int | None:
    """Days from the change until the share is back, counted from 1; None where it is not within the run."""
    level = BACK * float(shares[before - 1])
    back = [i for i in range(before + SMOOTH - 1, len(shares)) if shares[i] >= level]
    return back[0] - before + 1 if back else None
