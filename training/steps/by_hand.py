"""What a person may do to live judging: put an earlier version back in charge, stop the experiment, renew what the holdback gets. Recorded like all else."""

from __future__ import annotations

from collections.abc import Sequence

from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.aliases import ANCHOR, CHAMPION
from training.domain.errors import ConfigError, ConflictError, DataError, NotReadyError
from training.domain.experiment import Cause, Change, Experiment, State
from training.steps.in_charge import moment, name, take_back, who_runs
from training.steps.unfinished import finish

LEAST_REASON = 3
"""Characters; whoever reads the ledger in a year has nothing else."""


def planned(platform: Platform, to: str | None) -> tuple[str, str]:
    """(in charge, to be put in charge): `to`, or the version that was replaced by the one in charge.

    Raises NotReadyError where nothing is in charge, nothing was before it, or there is no such version; ConfigError where it is in charge already.
    """
    champion = platform.registry.version(CHAMPION)
    if champion is None:
        raise NotReadyError("No version is in charge, so there is nothing to roll back. `rightmatch ledger` shows what was judged.")
    after = to or _before(platform.experiments.changes(), champion)
    platform.registry.fetch(after)
    if after == champion:
        raise ConfigError(f"{name(after).capitalize()} is in charge already, so nothing was changed. Name another one with --to.")
    return champion, after


def completed(settings: Settings, platform: Platform, to: str | None) -> Change | None:
    """The roll-back to `to` (or to wherever) that a command before this one began and that was not recorded, which is done now."""
    done = finish(settings, platform)
    return done if done is not None and done.cause in {Cause.HAND, Cause.WATCH} and to in {None, done.after} else None


def roll_back(settings: Settings, platform: Platform, who: str, why: str, before: str | None = None, after: str | None = None) -> Change:
    """Put `after` (by default the version that the champion replaced) in charge; `who` and `why` go to the ledger.

    The experiment that promoted the champion is rolled back, one that compares with it is stopped. `before` is the champion that the person saw.
    Raises ConflictError where another one is in charge by now, DataError without a reason, and whatever `planned` raises: then nothing was changed.
    """
    why = _reason(why)
    finish(settings, platform)
    champion, to = planned(platform, after)
    if before not in {None, champion}:
        raise ConflictError(f"{name(champion).capitalize()} is in charge by now, not {name(before)}: somebody was faster. Nothing was changed; look again.")
    return take_back(platform, Change(champion, to, Cause.HAND, who, moment(settings), why))


def stop(settings: Settings, platform: Platform, reason: str, seen: str | None = None) -> Experiment:
    """End the running experiment for `reason`. The champion decides for the challenger's members at once, as the experiment is no more.

    `seen` is the one that the person saw. Raises ConflictError where another one runs by now, DataError without a reason: then nothing was changed.
    """
    why = _reason(reason)
    finish(settings, platform)
    running = platform.experiments.running()
    if running is None:
        raise NotReadyError("No experiment runs, so nothing was stopped. `rightmatch experiment` shows the last one.")
    if seen not in {None, running.experiment_id}:
        raise ConflictError(f"Experiment {running.experiment_id} runs by now, not {seen}. Nothing was stopped; look again.")
    stopped = running.ended(State.STOPPED, moment(settings), why)
    platform.experiments.move(stopped, who_runs())
    return stopped


def renew_anchor(settings: Settings, platform: Platform, who: str, version: str) -> str | None:
    """Let the holdback get `version` from now on, which promotions are then watched against, by what is decided from the next day on: what it got before
    says nothing of that version. Returns the one before; NotReadyError without such a version.
    """
    finish(settings, platform)
    before, champion = platform.registry.version(ANCHOR), platform.registry.version(CHAMPION)
    why = f"The holdback gets {name(version)} instead of {name(before) if before else 'the champion'}."
    change = Change(champion, champion, Cause.ANCHOR, who, moment(settings), why)

    def effect() -> None:
        if platform.registry.version(CHAMPION) != champion:
            raise ConflictError(f"{name(champion).capitalize()} was replaced at this very moment, so the anchor stays. Look again.")
        platform.registry.point(ANCHOR, version)

    platform.experiments.changed(change, effect)
    return before


def _reason(why: str) -> str:
    """Without spaces around it. Raises DataError where nobody could learn anything from it."""
    why = why.strip()
    if len(why) < LEAST_REASON:
        raise DataError("What a person does needs a reason in words, because the ledger keeps it for whoever asks later. Nothing was changed: give one.")
    return why


def _before(changes: Sequence[Change], champion: str) -> str:
    """The version that `champion` replaced when it first came into charge: after a roll-back that is not the one that was rolled back."""
    first = next((c for c in reversed(changes) if c.after == champion != c.before), None)
    if first is None or first.before is None:
        raise NotReadyError(f"The ledger knows of no version before {name(champion)}. Name the one to put in charge: --to VERSION.")
    return first.before
