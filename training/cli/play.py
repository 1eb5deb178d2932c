"""`rightmatch world play --days N`: the simulated world goes on, with the decision service in charge over HTTP."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from importlib import import_module
from time import monotonic, sleep
from typing import Any, TextIO

from training.config.settings import ROOT, Settings, load_settings
from training.domain.errors import ConfigError, NotReadyError, StepError

KEY = "RIGHTMATCH_KEY"
FEATURES = ("land", "transform", "validate", "materialize")
RETRAIN = ("training_set", "train", "evaluate", "judge", "promote")
PATIENCE = 3_600.0
"""Seconds that Airflow has for a day's features."""
COLUMNS = ("day", "asked", "shown", "clicks", "conversions", "opt_outs", "expected", "uniform", "fallbacks", "reasons", "models", "seconds")


class Between(StrEnum):
    """What is done before each day with the days before it."""

    FEATURES = "features"
    LOOP = "loop"
    WAIT = "wait"
    NOTHING = "nothing"


@dataclass(frozen=True)
class Played:
    """What the command line says."""

    days: int
    url: str | None
    key: str | None
    connections: int
    between: str


def play(asked: Played, *, as_json: bool) -> int:
    """Play, with a line a day as it ends; JSON is one object with all days. Returns 0, or 1 where the service overran a consent.

    Raises ConfigError without a simulated world or a key, and whatever the service or a step refuses.
    """
    settings = load_settings()
    key, between = _key(asked), _between(asked.between)
    _require_simulated(settings)
    client, world = import_module("sources.simulated.play_client"), import_module("sources.simulated.play")  # by name: the platform imports no source
    service = client.Service(asked.url or f"http://{settings.serving.host}:{settings.serving.port}", key, asked.connections)
    days = world.play(settings.home / "truth", settings.inbox, asked.days, service, lambda day: _prepare(settings, between, day - timedelta(days=1)))
    found = [asdict(day) for day in _shown(days, sys.stderr if as_json else sys.stdout)]
    if as_json:
        print(json.dumps({"days": found}))
    return int(any(day["overrun"] for day in found))


def _key(asked: Played) -> str:
    key = asked.key or os.environ.get(KEY, "")
    if not key:
        raise ConfigError(
            f"Without an API key the service answers nobody. Make one with `rightmatch keys create world --scope decide --scope outcomes` and give it by {KEY}."
        )
    return key


def _between(name: str) -> Between:
    try:
        return Between(name)
    except ValueError:
        raise ConfigError(f"{name!r} is nothing that can be done between two days. Use one of {', '.join(Between)}.") from None


def _require_simulated(settings: Settings) -> None:
    path = settings.home / "world.json"
    source = json.loads(path.read_text(encoding="utf-8"))["source"] if path.is_file() else ""
    if source != "simulated":
        holds = f"data of {source!r}" if source else "no world"
        raise ConfigError(f"{settings.home} holds {holds}: only a simulated world can be played on. Run `rightmatch run` once, or set RIGHTMATCH_HOME.")


def _prepare(settings: Settings, between: Between, yesterday: date) -> None:
    """See to the features of `yesterday`, so that today's decisions know it."""
    if between is Between.WAIT:
        _wait(settings, yesterday)
    elif between is not Between.NOTHING:
        _build(settings, yesterday, FEATURES if between is Between.FEATURES else (*FEATURES, *RETRAIN))


def _build(settings: Settings, day: date, verbs: Iterable[str]) -> None:
    """Run the DAGs' steps for `day` in a process of its own, whose output goes to `play.log`."""
    code = f"from training.steps.task import execute\nfor verb in {tuple(verbs)!r}: execute(verb, {day.isoformat()!r})"
    log = settings.home / "play.log"
    with log.open("a", encoding="utf-8") as output:
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=_environment(settings), stdout=output, stderr=output, check=False)
    if done.returncode:
        words = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-6:]
        raise StepError(f"The features of {day} could not be built, so the service would not know that day. {log} ends with:\n" + "\n".join(words))


def _environment(settings: Settings) -> dict[str, str]:
    paths = {"RIGHTMATCH_HOME": str(settings.home.resolve()), "RIGHTMATCH_CATALOG": str(settings.catalog.resolve())}
    return {name: value for name, value in os.environ.items() if name != KEY} | paths


def _wait(settings: Settings, day: date) -> None:
    """Until the online store has the features of `day`. Raises NotReadyError after PATIENCE."""
    from training.bootstrap import platform

    store, known = platform(settings).features, _somebody(settings)
    midnight, give_up = datetime.combine(day + timedelta(days=1), time(), UTC), monotonic() + PATIENCE
    while True:
        (features,) = store.online_members([known])
        at: Any = features.get("event_timestamp")
        if at is not None and at >= midnight:
            return
        if monotonic() > give_up:
            raise NotReadyError(
                f"Airflow did not bring the features of {day} online within {PATIENCE / 60:g} minutes. Trigger `features` for that day, or look why."
            )
        sleep(1.0)


def _somebody(settings: Settings) -> str:
    """A member of the newest marts."""
    import pyarrow.parquet as pq

    from training.domain.schema import MEMBER_FEATURES

    return str(pq.ParquetFile(settings.marts / f"{MEMBER_FEATURES.name}.parquet").read_row_group(0, columns=["member_id"])["member_id"][0].as_py())


def _shown(days: Iterable[Any], to: TextIO) -> Iterable[Any]:
    """The same days, each with a line of a table as it ends."""
    print("  ".join(f"{name:>11}" for name in COLUMNS), file=to, flush=True)
    for day in days:
        print("  ".join(f"{_cell(getattr(day, name)):>11}" for name in COLUMNS), file=to, flush=True)
        yield day


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}:{count}" for name, count in value.items())
    return f"{value:.4g}" if isinstance(value, float) else str(value)
