"""The service's clock: the wall's, or that of the data where a world has its own calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from training.config.serving import Clock

BEGINNING, END = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
"""Instants outside are nobody's: nothing could be added to them or taken from them."""


def instant(clock: Clock, asked_at: datetime | None, newest: datetime | None, now: datetime) -> datetime:
    """The instant of a decision: `now`, or in a world of its own `asked_at`, or there the time of `now` on the day that the `newest` features serve."""
    if clock is Clock.WALL:
        return now
    if asked_at is not None:
        return asked_at.astimezone(UTC)
    if newest is None:
        return now
    return newest + (now - now.replace(hour=0, minute=0, second=0, microsecond=0)) % timedelta(days=1)
