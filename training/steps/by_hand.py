"""What a person may do to live judging: put an earlier version back in charge, stop the experiment, renew what the holdback gets. Recorded like all else."""

from __future__ import annotations

from collections.abc import Sequence

from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.errors import ConfigError, NotReadyError
from training.domain.experiment import Cause, Change, Experiment, State
from training.steps.in_charge import ANCHOR, CHAMPION, last_change, moment, name, take_back, who_runs


def planned(platform: Platform, to: str | None) -> tuple[str, str]:
    """(in charge, to be put in charge): `to`, or the version that was replaced by the one in charge.

    Raises NotReadyError where nothing is in charge, nothing was before it, or there is no such version; ConfigError where it is in charge already.
    """
    champion, last = platform.registry.version(CHAMPION), last_change(platform)
    if champion is None:
        raise NotReadyError("No version is in charge, so there is nothing to roll back. `rightmatch ledger` shows what was judged.")
    after = to or _before(platform.experiments.changes(), champion)
    platform.registry.fetch(after)
    if after != champion:
        return champion, after
    if last is None or last.after in {None, after}:
        raise ConfigError(f"{name(after).capitalize()} is in charge already, so nothing was changed. Name another one with --to.")
    return str(last.after), after  # the alias was moved by a command that was killed before it recorded that


def roll_back(settings: Settings, platform: Platform, before: str, after: str, reason: str) -> Change:
    """Put `after` in charge instead of `before`; the experiment that promoted `before` is rolled back, one that compares with it is stopped."""
    return take_back(platform, Change(before, after, Cause.HAND, who_runs(), moment(settings), reason))


def stop(settings: Settings, platform: Platform, reason: str) -> Experiment:
    """End the running experiment for `reason`. The champion decides for the challenger's members at once, as the experiment is no more."""
    running = platform.experiments.running()
    if running is None:
        raise NotReadyError("No experiment runs, so nothing was stopped. `rightmatch experiment` shows the last one.")
    stopped = running.ended(State.STOPPED, moment(settings), reason)
    platform.experiments.move(stopped, who_runs())
    return stopped


def renew_anchor(platform: Platform, version: str) -> str | None:
    """Let the holdback get `version` from now on, which promotions are then watched against. Returns the one before; NotReadyError without such a version."""
    before = platform.registry.version(ANCHOR)
    platform.registry.point(ANCHOR, version)
    return before


def _before(changes: Sequence[Change], champion: str) -> str:
    """The version that `champion` replaced when it first came into charge: after a roll-back that is not the one that was rolled back."""
    first = next((c for c in reversed(changes) if c.after == champion), None)
    if first is None or first.before is None:
        raise NotReadyError(f"The ledger knows of no version before {name(champion)}. Name the one to put in charge: --to VERSION.")
    return first.before
