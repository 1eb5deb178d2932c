"""Whose time it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.fakes import learning as fake
from tests.fakes.learning import AS_OF, HOUR
from training.adapters.clock import now
from training.adapters.decision_log import DecisionLog
from training.config.serving import Clock


def test_the_wall_and_the_data(tmp_path):
    """The wall's is now; that of the data is the latest decision, in whatever order they came, and 1970 before any."""
    log = DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")
    assert now(Clock.DATA, log.engine) == datetime(1970, 1, 1, tzinfo=UTC)
    fake.fill(log, [fake.served(1, AS_OF + 2 * HOUR), fake.served(2, AS_OF)])
    assert now(Clock.DATA, log.engine) == AS_OF + 2 * HOUR
    before = datetime.now(UTC)
    assert before <= now(Clock.WALL, log.engine) <= before + timedelta(minutes=1)
