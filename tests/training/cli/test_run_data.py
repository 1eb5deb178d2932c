"""Which world a home holds, and what a run asks of its source."""

from __future__ import annotations

from datetime import date

import pytest

from training.cli.run_data import days_held, remember, source_data, world_of
from training.config.settings import Settings
from training.domain.errors import ConfigError, NotReadyError


@pytest.fixture
def settings(tmp_path):
    """A small world in a temporary home."""
    return Settings(home=tmp_path, members=100, days=3, seed=1)


def test_two_worlds_in_one_home_are_refused(settings, tmp_path):
    """A history half from one world and half from another would teach nonsense."""
    remember(settings, world_of(settings, None))
    assert world_of(Settings(home=tmp_path, members=100, days=9, seed=1), None).days == 3
    with pytest.raises(ConfigError, match="RIGHTMATCH_HOME"):
        world_of(Settings(home=tmp_path, members=101, days=3, seed=1), None)


def test_a_missing_file_is_named(settings, tmp_path):
    """Before anything is started."""
    with pytest.raises(ConfigError, match=r"absent\.csv"):
        world_of(settings, tmp_path / "absent.csv")


def test_own_data_needs_no_source(tmp_path):
    """A name without a source module means files that you put in the inbox; the newest day is the run's."""
    settings = Settings(home=tmp_path, source="mine")
    world = world_of(settings, None)
    with source_data(settings, world) as made, pytest.raises(NotReadyError, match="your-data"):
        made.last_day()
    (settings.inbox / "decisions" / "day=2026-01-06").mkdir(parents=True)
    (settings.raw / "decisions" / "day=2026-01-05").mkdir(parents=True)
    assert days_held(settings) == [date(2026, 1, 5), date(2026, 1, 6)]
    with source_data(settings, world) as made:
        assert made.last_day() == date(2026, 1, 6)
