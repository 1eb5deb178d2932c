"""When it is for a service in a calendar of the data's own."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from serving.clock import BEGINNING
from serving.core import Core
from serving.decisions import allowed
from serving.problems import Refusal
from training.config.settings import Settings
from training.domain.errors import NotReadyError

NEWEST = datetime(2026, 3, 2, tzinfo=UTC)
WALL = datetime(2026, 11, 25, 13, 30, tzinfo=UTC)


class Nobody:
    """A registry without a champion."""

    def peek(self, alias):
        return None


class Store:
    """The arms' features, once there are any."""

    materialized = False

    def online_arms(self, arm_ids):
        if not self.materialized:
            raise NotReadyError("Run the feature DAG first.")
        return [{"event_timestamp": NEWEST} for _ in arm_ids]


@pytest.fixture(name="core")
def _core(tmp_path):
    """A worker's parts without threads, on the data's clock, before anything was trained."""
    core = Core(Settings(home=tmp_path, serving={"clock": "data"}), Nobody(), Store(), lambda: WALL)
    yield core
    core.log.engine.dispose()


def test_without_a_champion_outcomes_arrive_in_the_datas_calendar(core, monkeypatch):
    """Else they would wait for the wall's date before any training saw them. Where nothing says which day it is they arrive when they happen."""
    core.watch.look()
    assert core.received() == BEGINNING
    monkeypatch.setattr(Store, "materialized", True)
    core.watch._next.clear()
    core.watch.look()
    assert core.received() == core.now() == NEWEST.replace(hour=13, minute=30)


@pytest.mark.parametrize("at", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)])
def test_instants_that_nothing_can_be_added_to_are_refused(core, at):
    """They would end the arithmetic of whoever shares their batch."""
    with pytest.raises(Refusal, match="outside of 1970"):
        allowed(core, at)
