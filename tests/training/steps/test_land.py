"""The step around the landing zone."""

from datetime import date

import pytest

from tests.fakes.landing import FakeLanding
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.errors import LandingError, NotReadyError
from training.steps.land import run

FIRST, SECOND = date(2026, 1, 5), date(2026, 1, 6)


def platform(landing):
    """A platform of which this step only uses the landing zone."""
    return Platform(landing=landing, warehouse=None, quality=None, features=None, registry=None, ledger=None, experiments=None)


@pytest.fixture
def settings(tmp_path):
    """Settings of a home of its own."""
    return Settings(home=tmp_path)


def test_what_landed_is_told(settings, capsys):
    """Rows of each table and the days stand in the task's log."""
    landing = FakeLanding({FIRST: {"members": 2}, SECOND: {"members": 1, "decisions": 4000}})
    report = run(SECOND, settings, platform(landing))
    assert report.rows == {"members": 3, "decisions": 4000}
    assert "Landed 2 day(s), 2026-01-05 to 2026-01-06: 3 members, 4,000 decisions." in capsys.readouterr().out


def test_a_rerun_finds_nothing_new(settings, capsys):
    """The second run reports no rows and says so."""
    landing = FakeLanding({FIRST: {"members": 2}})
    run(FIRST, settings, platform(landing))
    report = run(FIRST, settings, platform(landing))
    assert (report.rows, report.days) == ({}, ())
    assert "Nothing new up to 2026-01-05" in capsys.readouterr().out


def test_errors_of_the_landing_zone_come_through(settings):
    """The task fails with the landing zone's own words."""
    with pytest.raises(NotReadyError):
        run(FIRST, settings, platform(FakeLanding({SECOND: {"members": 1}})))
    with pytest.raises(LandingError, match="propensity"):
        run(FIRST, settings, platform(FakeLanding({FIRST: {"decisions": 1}}, {FIRST: "missing column propensity"})))
