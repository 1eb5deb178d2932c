"""SQLite as a log: WAL, so that readers never wait, every commit synced, and writers of several processes that take turns."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

WAIT_MS = 5_000
"""How long a writer waits for another one before it gives up; transactions here last milliseconds."""
WRITES = "rightmatch_writes"
"""Execution option of a connection that is going to write."""
_TEND_EVERY, _TEND_BYTES = 0.25, 1 << 22
"""Seconds between two looks at the WAL, and its size beyond which it is moved into the file."""
_MOST_PAGES = 8_192
"""Pages of the WAL, 32 MB, beyond which a decision's commit moves what is left and starts it anew: `Tending` cannot where somebody always writes."""
_PAUSE = 0.0003
"""Seconds between two looks at the lock. SQLite's own pauses grow to 0.1 s, and a busy writer then keeps another one out for seconds."""


def sqlite_engine(url: URL) -> Engine:
    """An engine whose transactions begin where SQLAlchemy says; those that write take the lock at once, so that no read in them is ever out of date."""
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": WAIT_MS / 1000})
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


class Tending:
    """Moves what was appended to the log's WAL into the file itself, in a thread of its own: by default whoever commits beyond 1,000 pages does, which is one
    decision in a hundred that waits for three syncs. Does nothing for a database that is no SQLite.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log tending", daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._engine.dialect.name == "sqlite":
            self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        wal = Path(f"{self._engine.url.database}-wal")
        connection: sqlite3.Connection | None = None
        while not self._stopped.wait(_TEND_EVERY):
            with suppress(sqlite3.Error, OSError):  # a log in trouble is told of by whoever writes to it
                if wal.stat().st_size > _TEND_BYTES:
                    connection = connection or _connect(self._engine)
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # waits for nobody, and nobody waits for it
        if connection is not None:
            connection.close()


class Writer(threading.local):
    """Transactions that write, in the driver's own words and on a connection that each thread keeps: taking one out of a pool, and telling listeners what is
    done with it, costs a decision more than its statements.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Durable when the block has ended, nothing of it kept if the block raises. Holds the write lock from the start. Raises the driver's errors."""
        connection = self._connection or self._opened()
        self._connection = None
        try:
            _patiently(connection.execute, "BEGIN IMMEDIATE")
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            connection.close()  # which rolls back; whatever state it was in is gone with it
            raise
        self._connection = connection

    def _opened(self) -> sqlite3.Connection:
        connection = _connect(self._engine)
        connection.execute(f"PRAGMA wal_autocheckpoint={_MOST_PAGES}")
        return connection


def _connect(engine: Engine) -> sqlite3.Connection:
    """A connection that nobody else uses."""
    words, options = engine.dialect.create_connect_args(engine.url)
    connection = cast("sqlite3.Connection", engine.dialect.connect(*words, **{**options, "timeout": 0, "check_same_thread": False}))
    _prepare(connection, None)
    return connection


def _prepare(connection: Any, entry: object) -> None:  # noqa: ANN401 - the driver's own
    del entry
    connection.isolation_level = None
    _patiently(connection.execute, "PRAGMA journal_mode=WAL")  # SQLite does not always wait here by itself: 2 of 900 failed
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA journal_size_limit=67108864")


def _begin(connection: Connection) -> None:
    raw: Any = connection.connection.dbapi_connection
    if not connection.get_execution_options().get(WRITES):
        raw.execute("BEGIN")
        return
    raw.execute("PRAGMA busy_timeout=0")
    try:
        _patiently(raw.execute, "BEGIN IMMEDIATE")
    finally:
        raw.execute(f"PRAGMA busy_timeout={WAIT_MS}")


def _patiently(ask: Callable[[str], object], words: str) -> None:
    """Ask again while another process holds the lock, for `WAIT_MS`."""
    deadline = time.monotonic() + WAIT_MS / 1000
    while True:
        try:
            ask(words)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE)
        else:
            return
