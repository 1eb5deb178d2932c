"""A home with a real ledger and a registry of numbered versions, and the verdicts of screen, looks and watch."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, cast

from tests.fakes.registry import FakeRegistry
from training.adapters.experiments import SqlExperiments
from training.adapters.ledger import SqlLedger
from training.adapters.ports import ModelRegistry, Platform
from training.config.settings import Settings
from training.domain.experiment import Cause, Change, Experiment, State
from training.domain.nouns import Evidence, RuleKind, Verdict, VerdictKind, look_id

SPLIT = "Members are not split as planned."
OPENED = date(2026, 3, 10)
FIRST = date(2026, 3, 12)
ID = "2026-03-10-v2"


def home(settings: Settings, registry: ModelRegistry | None = None, versions: int = 6) -> Platform:
    """Versions 1 to `versions`, no champion, an empty ledger in `settings.home`."""
    nothing = cast("Any", None)
    found = registry or FakeRegistry(settings.home / "models")
    folder = settings.home / "model"
    folder.mkdir(parents=True, exist_ok=True)
    for version in range(1, versions + 1):
        (folder / "weights").write_text(str(version))
        found.register(folder, {"run_id": str(version)})
    return Platform(nothing, nothing, nothing, nothing, found, SqlLedger(settings.ledger_url), SqlExperiments(settings.ledger_url))


def screened(platform: Platform, day: date, kind: VerdictKind, versions: tuple[str, str], *, gain: float = 0.01, half: float = 0.004) -> None:
    """The screen's verdict of `day` on `versions` (challenger, baseline): the success metric `gain` better, within `half`."""
    evidence = Evidence("converted superior", RuleKind.SUPERIOR, gain, (gain - half, gain + half), 0.0, 9_000, kind is VerdictKind.PROMOTE)
    platform.ledger.record(Verdict(day.isoformat(), kind, *versions, (evidence,), "because", _end(day)))


def looked(platform: Platform, day: date, kind: VerdictKind, subject: str = ID, *, broken: bool = False) -> None:
    """The look of `day` at an experiment, or of the watch."""
    ratio = Evidence("sample_ratio", RuleKind.SAMPLE_RATIO, -9.0 if broken else 1.0, (0.0, 0.0), -6.9, 9_000, not broken)
    platform.ledger.record(Verdict(look_id(subject, day), kind, "2", "1", (ratio,), SPLIT if broken else f"{kind.value} of {day}.", _end(day)))


def running(platform: Platform, ramp: tuple[float, ...] = (0.1, 0.5), experiment_id: str = ID) -> Experiment:
    """Version 1 in charge, and version 2 tried against it from FIRST on."""
    at = _end(OPENED)
    platform.experiments.changed(Change(None, "1", Cause.SCREEN, "run", at - timedelta(days=30), "first"), lambda: platform.registry.point("champion", "1"))
    opened = Experiment(experiment_id, "2", "1", State.RUNNING, ramp, ((FIRST, ramp[0]),), 0.05, at, at, "opened")
    platform.experiments.open(opened, "run", OPENED.isoformat())
    return opened


def promoted(platform: Platform, at: date) -> Experiment:
    """Version 2 in charge by an experiment since the end of `at`, version 1 the anchor."""
    after = running(platform, (0.5,)).ended(State.PROMOTED, _end(at), "passed")
    change = Change("1", "2", Cause.EXPERIMENT, "run", _end(at), "passed", ID)
    platform.experiments.move(after, "run", at.isoformat(), change, lambda: platform.registry.point("champion", "2"))
    platform.registry.point("anchor", "1")
    return after


class Killed(BaseException):
    """As a signal that ends the process."""


def half_done(platform: Platform, change: Change, after: Experiment | None = None, key: str = "") -> None:
    """As a run leaves it that is killed when it has moved the alias: `change`, or with it the experiment's move to `after`, was begun and is not recorded."""

    def effect() -> None:
        platform.registry.point("champion", str(change.after))
        raise Killed

    with suppress(Killed):
        if after is None:
            platform.experiments.changed(change, effect)
        else:
            platform.experiments.move(after, change.by, key, change, effect)


def aliases(registry: ModelRegistry) -> dict[str, str | None]:
    """Who is who."""
    return {alias: registry.version(alias) for alias in ("champion", "previous", "anchor")}


def _end(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)


def settings_of(path: Path, **experiment: Any) -> Settings:
    """Settings of a home."""
    return Settings(home=path, experiment=experiment)
