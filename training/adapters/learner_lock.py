"""One learner a log: two would each count a batch under the same number."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine, text

LOCK = "learner.lock"
KEY = 0x524D4C4541524E
"""Of Postgres' advisory lock."""


@contextmanager
def only_learner(engine: Engine, folder: Path) -> Iterator[bool]:
    """Whether nobody else learns from this log; nobody else does until the block ends, and a killed process holds nothing.

    Postgres keeps the lock, on a connection of its own; of SQLite it is a lock on a file beside the log's, for `folder`, that of the snapshots, may be deleted.
    """
    with _on_server(engine) if engine.dialect.name == "postgresql" else _on_files(Path(str(engine.url.database)), folder) as mine:
        yield mine


@contextmanager
def _on_files(log: Path, folder: Path) -> Iterator[bool]:
    """The one beside `log`, then the one in `folder`, which is all that an earlier version looks for."""
    with _on_file(log.with_name(f"{log.name}.{LOCK}")) as mine:
        if not mine:
            yield False
            return
        with _on_file(folder / LOCK) as alone:
            yield alone


@contextmanager
def _on_file(path: Path) -> Iterator[bool]:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(handle)


@contextmanager
def _on_server(engine: Engine) -> Iterator[bool]:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        mine = bool(connection.execute(text("select pg_try_advisory_lock(:key)"), {"key": KEY}).scalar())
        try:
            yield mine
        finally:
            connection.invalidate()  # a pooled connection would go on holding it
