"""One learner a log: two would each count a batch under the same number."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from training.adapters.flock import locked
from training.domain.errors import LogError

LOCK = "learner.lock"
KEY = 0x524D4C4541524E
"""Of Postgres' advisory lock."""


class Hold:
    """True where nobody else learns. `connection` is that which Postgres keeps the lock on: it ends with it, without a word, and another learner begins."""

    def __init__(self, mine: bool, connection: Connection | None = None) -> None:
        self._mine, self._connection = mine, connection
        self._server = _server(connection) if connection is not None else 0

    def __bool__(self) -> bool:
        return self._mine

    def ask(self) -> None:
        """Raises LogError where the lock is lost: nothing may be learned from here on."""
        if self._connection is None:
            return  # a file's is held until the process ends
        try:
            found, why = _server(self._connection), "the connection that held it was another's"
        except SQLAlchemyError as error:
            found, why = 0, str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        if found != self._server:
            raise LogError(
                f"The lock that lets one learner learn is lost ({why}): another may learn already, and two would count a batch twice. "
                "This one ends; start it again (the service does so by itself), and it stands by or takes over."
            )


def _server(connection: Connection) -> int:
    """The process of Postgres that serves it: another one where the connection was made again, which holds nothing."""
    return int(connection.execute(text("select pg_backend_pid()")).scalar_one())


@contextmanager
def only_learner(engine: Engine, folder: Path) -> Iterator[Hold]:
    """True where nobody else learns from this log; nobody else does until the block ends, and a killed process holds nothing. Whoever learns for long asks it
    again before each batch.

    Postgres keeps the lock, on a connection of its own; of SQLite it is a lock on a file beside the log's, for `folder`, that of the snapshots, may be deleted.
    """
    with _on_server(engine) if engine.dialect.name == "postgresql" else _on_files(Path(str(engine.url.database)), folder) as mine:
        yield mine


@contextmanager
def _on_files(log: Path, folder: Path) -> Iterator[Hold]:
    """The one beside `log`, then the one in `folder`, which is all that an earlier version looks for."""
    with _on_file(log.with_name(f"{log.name}.{LOCK}")) as mine:
        if not mine:
            yield Hold(mine=False)
            return
        with _on_file(folder / LOCK) as alone:
            yield Hold(alone)


@contextmanager
def _on_file(path: Path) -> Iterator[bool]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), fcntl.LOCK_EX | fcntl.LOCK_NB) as alone:
        yield alone


@contextmanager
def _on_server(engine: Engine) -> Iterator[Hold]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = bool(connection.execute(text("select pg_try_advisory_lock(:key)"), {"key": KEY}).scalar())
        try:
            yield Hold(mine, connection)
        finally:
            connection.invalidate()  # a pooled connection would go on holding it
