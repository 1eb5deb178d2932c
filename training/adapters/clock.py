"""What time it is for whoever decides or learns. The one place of service and learner that reads the clock for it."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Engine, func, select

from training.adapters.log_engine import instant, reading
from training.adapters.log_tables import decision_table
from training.config.serving import Clock


def wall() -> datetime:
    """Now."""
    return datetime.now(UTC)


def now(clock: Clock, engine: Engine) -> datetime:
    """The instant by `clock`; that of the data is when the latest decision of the log was taken, and 1970 before the first."""
    match clock:
        case Clock.WALL:
            return wall()
        case Clock.DATA:
            with reading(engine) as connection:
                latest = connection.execute(select(func.max(decision_table.c.decided_at))).scalar()
            return instant(int(latest or 0))
