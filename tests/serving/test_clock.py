"""Whose time it is."""

from datetime import UTC, datetime, timedelta, timezone

from serving.clock import instant
from training.config.serving import Clock

NOW = datetime(2026, 11, 25, 13, 30, tzinfo=UTC)
NEWEST = datetime(2026, 3, 2, tzinfo=UTC)


def test_the_wall_is_asked_unless_the_data_has_a_calendar_of_its_own():
    """There the request says when it is, or it is this time of day on the day that the features serve."""
    then = datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=2)))
    assert instant(Clock.WALL, then, NEWEST, NOW) == NOW
    assert instant(Clock.DATA, then, NEWEST, NOW) == datetime(2026, 3, 2, 7, tzinfo=UTC)
    assert instant(Clock.DATA, None, NEWEST, NOW) == datetime(2026, 3, 2, 13, 30, tzinfo=UTC)
    assert instant(Clock.DATA, None, None, NOW) == NOW
