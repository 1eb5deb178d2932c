"""Connections to the ledger: SQLite (WAL) or any database that SQLAlchemy knows, with its tables made at the first use, however many come first together."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine, create_engine, event, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.pool import ConnectionPoolEntry

from training.adapters.ledger_tables import METADATA
from training.adapters.log_driver import patiently
from training.adapters.log_engine import lock


class LedgerDatabase:
    """One database; nothing is opened or made before `engine` is first read."""

    def __init__(self, url: str) -> None:
        self._url = url

    @cached_property
    def engine(self) -> Engine:
        """With all tables of `ledger_tables`."""
        url = make_url(self._url)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(url)
        if url.get_backend_name() == "sqlite":
            event.listen(engine, "connect", _write_ahead)
        if METADATA.tables.keys() - set(inspect(engine).get_table_names()):
            _make(engine)
        return engine

    @property
    def there(self) -> bool:
        """Whether there is anything to read; asking makes nothing."""
        url = make_url(self._url)
        return url.get_backend_name() != "sqlite" or not url.database or Path(url.database).is_file()


def _make(engine: Engine) -> None:
    """Which tables are missing is read under the lock under which they are made."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        lock(connection, ["rightmatch ledger schema"])
        METADATA.create_all(connection)


def _write_ahead(connection: object, entry: ConnectionPoolEntry) -> None:
    """A writer waits up to 30 s for another, and readers are not blocked by it."""
    del entry
    connection.execute("PRAGMA busy_timeout=30000")  # type: ignore[attr-defined]
    patiently(connection.execute, "PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]  # the busy timeout does not always hold here
