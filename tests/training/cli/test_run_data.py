"""Which world a home holds, and what a run asks of its source."""

from __future__ import annotations

from datetime import UTC, date, datetime

import psutil
import pytest

from tests.fakes.logs import served
from training.adapters.decision_log import DecisionLog
from training.cli import run_data
from training.cli.run_data import days_held, remember, source_data, world_of
from training.config.settings import Settings
from training.domain.errors import ConfigError, NotReadyError

TODAY = date(2026, 3, 10)


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


def test_a_pattern_names_its_only_match(settings, tmp_path):
    """`make run DATA=folder/*.csv` reaches the command unexpanded; two matches are not guessed from."""
    (tmp_path / "first 1.csv").touch()
    assert world_of(settings, tmp_path / "*.csv").data == str((tmp_path / "first 1.csv").resolve())
    (tmp_path / "second.csv").touch()
    with pytest.raises(ConfigError, match="2 files match"):
        world_of(settings, tmp_path / "*.csv")


def test_own_data_needs_no_source(tmp_path):
    """A name without a source module means files that you put in the inbox; the newest day is the run's."""
    settings = Settings(home=tmp_path, source="mine")
    world = world_of(settings, None)
    with source_data(settings, world, TODAY) as made, pytest.raises(NotReadyError, match="your-data"):
        made.last_day()
    (settings.inbox / "decisions" / "day=2026-01-06").mkdir(parents=True)
    (settings.raw / "decisions" / "day=2026-01-05").mkdir(parents=True)
    assert days_held(settings, TODAY) == [date(2026, 1, 5), date(2026, 1, 6)]
    with source_data(settings, world, TODAY) as made:
        assert made.last_day() == date(2026, 1, 6)


def test_a_day_of_the_decision_log_counts_when_it_is_over(tmp_path):
    """Where decisions come from the service alone, the run's day is the last whole one that it served."""
    settings = Settings(home=tmp_path, source="mine")
    log = DecisionLog(settings.log_url)
    for day in (8, 9, 10):
        with log.writing(["m1"]) as writer:
            writer.append([served(str(day), at=datetime(2026, 3, day, 9, tzinfo=UTC))])
    with source_data(settings, world_of(settings, None), TODAY) as made:
        assert made.last_day() == date(2026, 3, 9)


def test_a_day_after_today_is_not_the_day_of_the_run(tmp_path, capsys):
    """A mistyped year would make every landed day look old; it is left alone and said."""
    settings = Settings(home=tmp_path, source="mine")
    for day in ("2026-03-10", "2036-03-11"):
        (settings.inbox / "decisions" / f"day={day}").mkdir(parents=True)
    with source_data(settings, world_of(settings, None), TODAY) as made:
        assert made.last_day() == TODAY
    assert "1 day(s) after today, 2026-03-10, up to 2036-03-11" in capsys.readouterr().out


def test_a_folder_that_is_no_day_is_left_to_landing(tmp_path):
    """Landing refuses it with its own sentence; a bare ValueError before that would say less."""
    settings = Settings(home=tmp_path, source="mine")
    for name in ("day=2026-13-05", "day=2026-03-09"):
        (settings.inbox / "decisions" / name).mkdir(parents=True)
    assert days_held(settings, TODAY) == [date(2026, 3, 9)]


def slow():
    """The source's processes; other tests of this process may have children of their own."""
    return [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE and "sources.slow" in p.cmdline()]


def test_the_source_of_a_killed_command_is_ended_at_the_next_start(tmp_path, monkeypatch):
    """Two sources would write the same inbox side by side."""
    package = tmp_path / "code" / "sources"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "slow.py").write_text("import time; time.sleep(300)")
    monkeypatch.setattr(run_data, "ROOT", package.parent)
    settings = Settings(home=tmp_path / "home", source="slow")
    world = world_of(settings, None)
    killed = run_data.Source(settings, world, TODAY)
    (left,) = slow()
    with source_data(settings, world, TODAY):
        assert not left.is_running() or left.status() == psutil.STATUS_ZOMBIE
        (now,) = [p for p in slow() if p != left]
    assert not now.is_running()
    killed.stop()
    assert not list(settings.home.glob("*pids*"))
