"""What happened to the champion and is not in the ledger: a change whose run was killed is recorded as what it was, a move past the ledger as somebody's."""

from __future__ import annotations

from datetime import date

from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.aliases import CHAMPION
from training.domain.errors import ConflictError
from training.domain.experiment import LEGAL, Cause, Change, State
from training.steps.in_charge import hand_over, last_change, moment, name, stop_orphan, take_back

SOMEBODY = "somebody in the registry"
PAST_THE_LEDGER = "The alias was moved in the registry itself, past the ledger."


def finish(settings: Settings, platform: Platform, day: date | None = None) -> Change | None:
    """Bring the ledger up to the alias, before anything else is changed; returns the change that was begun by another run and is completed now.

    What was begun and moved nothing is given up.
    Raises ConflictError where another run does the same at this moment.
    """
    begun, champion = platform.experiments.begun(), platform.registry.version(CHAMPION)
    if begun is not None:
        change, key = begun
        if change.after == champion:
            return _completed(platform, change, key)
        if not platform.experiments.give_up(change):
            raise ConflictError(f"{change.by} changed the champion at this very moment, so nothing else was changed. Run it again.")
    last = last_change(platform)
    if last is not None and champion not in {None, last.after}:
        take_back(platform, Change(last.after, champion, Cause.HAND, SOMEBODY, moment(settings, day), PAST_THE_LEDGER), moved=True)
        print(f"Recorded that {name(champion)} came into charge instead of {name(last.after)}: {PAST_THE_LEDGER}", flush=True)
    return None


def _completed(platform: Platform, change: Change, key: str) -> Change:
    effect = hand_over(platform.registry, change.before, str(change.after))
    state = State.PROMOTED if change.cause is Cause.EXPERIMENT else State.ROLLED_BACK
    experiment = next((e for e in platform.experiments.all() if e.experiment_id == change.experiment_id and state in LEGAL[e.state]), None)
    if experiment is None:
        platform.experiments.changed(change, effect)
    else:
        platform.experiments.move(experiment.ended(state, change.at, change.reason), change.by, key, change, effect)
    print(f"Completed what {change.by} began: {name(change.after)} instead of {name(change.before)} ({change.reason})", flush=True)
    stop_orphan(platform, change.at, change.by)
    return change
