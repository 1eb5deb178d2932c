"""SQLite as a log: WAL, so that readers never wait, every commit synced, and writers of several processes that take turns."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

WAIT_MS = 5_000
"""How long a writer waits for another one before it gives up; transactions here last milliseconds."""
WRITES = "rightmatch_writes"
"""Execution option of a connection that is going to write."""
_PAUSE = 0.0003
"""Seconds between two looks at the lock. SQLite's own pauses grow to 0.1 s, and a busy writer then keeps another one out for seconds."""


def sqlite_engine(url: URL) -> Engine:
    """An engine whose transactions begin where SQLAlchemy says; those that write take the lock at once, so that no read in them is ever out of date."""
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": WAIT_MS / 1000})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: Any, entry: object) -> None:  # noqa: ANN401 - the driver's own
    del entry
    connection.isolation_level = None
    _patiently(lambda: connection.execute("PRAGMA journal_mode=WAL"))  # SQLite does not always wait here by itself: 2 of 900 failed
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_size_limit=67108864")


def _begin(connection: Connection) -> None:
    raw: Any = connection.connection.dbapi_connection
    if not connection.get_execution_options().get(WRITES):
        raw.execute("BEGIN")
        return
    raw.execute("PRAGMA busy_timeout=0")
    try:
        _patiently(lambda: raw.execute("BEGIN IMMEDIATE"))
    finally:
        raw.execute(f"PRAGMA busy_timeout={WAIT_MS}")


def _patiently(ask: Callable[[], object]) -> None:
    """Ask again while another process holds the lock, for `WAIT_MS`."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while True:
        try:
            ask()
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return
