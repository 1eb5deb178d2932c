"""Who is in charge, and the one way to change that: the ledger's row and the alias together, under the ledger's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from getpass import getuser

from training.adapters.ports import ModelRegistry, Platform
from training.config.settings import Settings
from training.domain.aliases import CHAMPION
from training.domain.errors import ConflictError
from training.domain.experiment import Change, Experiment, State
from training.domain.nouns import LOGGING_POLICY


def hand_over(registry: ModelRegistry, before: str | None, after: str, others: Mapping[str, str] | None = None) -> Callable[[], None]:
    """The effect of a change: points `others` (alias to version), then `champion` to `after`. Repeating it changes nothing.

    It raises ConflictError where neither `before` nor `after` is in charge by then, and so nothing is recorded either.
    """

    def effect() -> None:
        found = registry.version(CHAMPION)
        if found not in {before, after}:
            raise ConflictError(f"{name(found)} came into charge instead of {name(before)}, so {name(after)} did not. Read the ledger again.")
        for alias, version in (others or {}).items():
            registry.point(alias, version)
        if found != after:
            registry.point(CHAMPION, after)

    return effect


def take_back(platform: Platform, change: Change, key: str = "", *, moved: bool = False) -> Change:
    """Make `change`, which puts another version in charge than the one that an experiment may have promoted: that is rolled back then, in one transaction.

    Where the alias has `moved` already it is only recorded; ConflictError where it moved on meanwhile.
    """
    promoted = next((e for e in platform.experiments.all() if e.state is State.PROMOTED and e.challenger == change.before), None)
    effect = hand_over(platform.registry, change.after if moved else change.before, str(change.after))
    if promoted is None:
        platform.experiments.changed(change, effect)
    else:
        change = replace(change, experiment_id=promoted.experiment_id)
        platform.experiments.move(promoted.ended(State.ROLLED_BACK, change.at, change.reason), change.by, key, change, effect)
    stop_orphan(platform, change.at, change.by)
    return change


def last_change(platform: Platform) -> Change | None:
    """The newest one that the ledger knows."""
    changes = platform.experiments.changes()
    return changes[0] if changes else None


def stop_orphan(platform: Platform, at: datetime, who: str, key: str = "") -> Experiment | None:
    """Stop the running experiment if the champion that it compares with is no longer in charge; returns it then."""
    running, champion = platform.experiments.running(), platform.registry.version(CHAMPION)
    if running is None or running.champion == champion:
        return None
    why = f"{name(champion).capitalize()} is in charge instead of {name(running.champion)}, which the challenger is compared with."
    stopped = running.ended(State.STOPPED, at, why)
    platform.experiments.move(stopped, who, key)
    print(f"Experiment {stopped.experiment_id} was stopped: {why}", flush=True)
    return stopped


def who_runs() -> str:
    """The DAG run and who approved what it does, else the user of the operating system, for the ledger."""
    dag, run = (os.environ.get(f"AIRFLOW_CTX_DAG_{part}", "") for part in ("ID", "RUN_ID"))
    if run:
        approver = os.environ.get("APPROVED_BY", "")
        return f"{dag} {run}".strip() + (f", approved by {approver}" if approver else "")
    try:
        return getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def moment(settings: Settings, day: date | None = None) -> datetime:
    """The instant by the service's clock, but not before the end of `day`; where no log was kept yet that end, or now without a day."""
    from training.adapters.clock import now, wall
    from training.adapters.log_engine import log_engine
    from training.adapters.log_export import there

    end = datetime.combine(day + timedelta(days=1), time(), UTC) if day else None
    if not there(settings):
        return end or wall()
    engine = log_engine(settings.log_url)
    try:
        found = now(settings.serving.clock, engine)
    finally:
        engine.dispose()
    return max(found, end) if end else found


def midnight_ahead(at: datetime) -> date:
    """The first UTC day that has not begun at `at`: a change from then on is one for all workers."""
    return at.astimezone(UTC).date() + timedelta(days=1)


def name(version: str | None) -> str:
    """How a version is called in the log."""
    return f"version {version}" if version else f"the {LOGGING_POLICY}"
