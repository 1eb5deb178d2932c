"""Connections to the ledger: SQLite (WAL) or any database that SQLAlchemy knows, with its tables made at the first use."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from sqlalchemy import Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import ConnectionPoolEntry

from training.adapters.ledger_tables import METADATA


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
        METADATA.create_all(engine)
        return engine

    @property
    def there(self) -> bool:
        """Whether there is anything to read; asking makes nothing."""
        url = make_url(self._url)
        return url.get_backend_name() != "sqlite" or not url.database or Path(url.database).is_file()


def _write_ahead(connection: object, entry: ConnectionPoolEntry) -> None:
    """Readers are not blocked by the writer, and a writer waits up to 30 s for another."""
    del entry
    connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
    connection.execute("PRAGMA busy_timeout=30000")  # type: ignore[attr-defined]
