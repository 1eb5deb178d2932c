"""What is brought up to date before the champion is changed, while another run does the same: the faster one stands, and nobody is taken for somebody else."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime

import pytest

from tests.fakes.platforms import FIRST, ID, Killed, half_done, home, promoted, running, settings_of
from training.domain.errors import ConflictError, NotReadyError
from training.domain.experiment import Cause, Change, State
from training.steps import by_hand
from training.steps.in_charge import hand_over
from training.steps.unfinished import finish

PERSON = Change("2", "1", Cause.HAND, "a person", datetime(2026, 5, 2, tzinfo=UTC), "it does harm")


@pytest.fixture
def settings(tmp_path):
    """Of a home."""
    return settings_of(tmp_path)


@pytest.fixture
def platform(settings):
    """Version 2 in charge by an experiment, version 1 before it."""
    found = home(settings)
    promoted(found, date(2026, 4, 20))
    return found


def killed():
    """Before the alias moved."""
    raise Killed


def test_a_roll_back_that_ends_meanwhile_stands(settings, platform, monkeypatch):
    """It was begun when this run looked and is recorded when this run would give it up: the version that does harm does not come back."""
    with suppress(Killed):
        platform.experiments.changed(PERSON, killed)
    give_up = platform.experiments.give_up

    def late(change):
        platform.experiments.changed(PERSON, hand_over(platform.registry, "2", "1"))
        return give_up(change)

    monkeypatch.setattr(platform.experiments, "give_up", late)
    with pytest.raises(ConflictError, match="a person changed the champion at this very moment"):
        finish(settings, platform)
    assert platform.registry.version("champion") == "1"
    assert platform.experiments.changes()[0] == PERSON


def test_what_moved_past_the_ledger_and_moves_on_is_not_moved_back(settings, platform, monkeypatch):
    """Recording a move never makes one."""
    platform.registry.point("champion", "3")
    read = platform.experiments.all

    def slow():
        platform.registry.point("champion", "4")
        return read()

    monkeypatch.setattr(platform.experiments, "all", slow)
    before = platform.experiments.changes()
    with pytest.raises(ConflictError):
        finish(settings, platform)
    assert platform.registry.version("champion") == "4"
    assert platform.experiments.changes() == before
    assert platform.experiments.begun() is None


def test_an_experiment_whose_promotion_is_half_done_is_not_stopped(settings):
    """Stopping it completes the promotion first, so the ledger says who is in charge."""
    platform = home(settings)
    experiment = running(platform, (0.5,))
    change = Change("1", "2", Cause.EXPERIMENT, "killed", datetime(2026, 4, 20, tzinfo=UTC), "passed", ID)
    half_done(platform, change, experiment.ended(State.PROMOTED, change.at, change.reason), FIRST.isoformat())
    with pytest.raises(NotReadyError):
        by_hand.stop(settings, platform, "too slow for us")
    assert platform.experiments.all()[0].state is State.PROMOTED
    assert platform.experiments.changes()[0] == change
