"""SQLite as a log: WAL, so that readers never wait, nothing acknowledged before it is synced, and writers of several processes that take turns."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, finalize

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL

from training.adapters.kernel_sync import KernelSync
from training.adapters.log_driver import WAIT_MS, Driver, patiently, watched
from training.adapters.log_syncing import Syncing, syncing

WRITES = "rightmatch_writes"
"""Execution option of a connection that is going to write."""
_TEND_EVERY, _TEND_BYTES = 0.25, 1 << 22
"""Seconds between two looks at the WAL, and its size beyond which it is moved into the file."""
_MOST_PAGES = 8_192
"""Pages of the WAL, 32 MB, beyond which a decision's commit moves what is left and starts it anew: `Tending` cannot where somebody always writes."""
_MOVE_MS = 1_000
"""How long the WAL's way into the file after a failed sync waits for writers and readers."""
_BRIEF_MS = 3
"""How long who is not to wait waits all the same: the learner holds the lock for less, and to go to a thread instead costs more."""


def sqlite_engine(url: URL) -> Engine:
    """An engine whose transactions begin where SQLAlchemy says; those that write take the lock at once, so that no read in them is ever out of date."""
    path = Path(str(url.database)).absolute()
    database = path.resolve()  # as SQLite does: the WAL lies beside what a link points to
    database.parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url.set(database=str(database)), connect_args={"timeout": WAIT_MS / 1000})
    place = watched(engine, path)

    def begin(connection: Connection) -> None:
        place.check()
        _begin(connection)

    event.listen(engine, "begin", begin)
    return engine


class Tending:
    """Moves what was appended to the log's WAL into the file itself, in a thread of its own: by default whoever commits beyond 1,000 pages does, which is one
    decision in a hundred that waits for three syncs. Does nothing for a database that is no SQLite.

    Of several processes one does it, until it ends: SQLite before 3.51.3 may, very rarely, lose pages where two move the WAL at about the same time
    (sqlite.org/wal.html#walresetbug).
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
        with Path(f"{self._engine.url.database}-tending").open("ab") as held:
            while not self._stopped.wait(_TEND_EVERY):
                with suppress(sqlite3.Error, OSError):  # a log in trouble is told of by whoever writes to it
                    if wal.stat().st_size > _TEND_BYTES:
                        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # an OSError where another one does it
                        connection = connection or Driver.of(self._engine).connect()
                        connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # waits for nobody, and nobody waits for it
            if connection is not None:
                connection.close()


class Locked(Exception):  # noqa: N818 - it says what is so
    """Another one is writing just now."""


class Wal:
    """The write-ahead log behind an open connection, which keeps it from being replaced: one sync makes durable whatever was committed before it by anybody."""

    def __init__(self, engine: Engine) -> None:
        database = Path(str(engine.url.database))
        self._driver, self._shared = Driver.of(engine), syncing(engine)
        self._path = database.with_name(f"{database.name}-wal")
        self._file = self._opened()
        self._begun = self._opened()
        """The same file, as `begin` knows it: the system tells of a failure once whoever has opened it."""
        folder = os.open(database.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # a file whose name is lost is lost
        finally:
            os.close(folder)

    @property
    def current(self) -> bool:
        """Whether it is still the one that is written to: after everybody has left a log there is none, and whoever comes next makes another."""
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except FileNotFoundError:
            return False

    def settle(self) -> None:
        """Any thread may, also while others commit. Raises sqlite3.OperationalError where the disk refuses.

        What a failed sync left in memory counts as written from then on, so after one nothing is durable before all of it was moved into the file, and what
        comes later not before the WAL has begun anew: behind a gap nothing is found again.
        """
        with self._shared.turn:
            self._shared.thread = time.monotonic()
            try:
                if self._shared.doubt:
                    self._hear()
                    self._move()
                os.fdatasync(self._file)
            except OSError as error:
                self._shared.failed()
                raise sqlite3.OperationalError(f"the disk did not keep it: {error.strerror}") from error
            finally:
                self._shared.thread = Syncing.never

    def begin(self, kernel: KernelSync, done: Callable[[sqlite3.OperationalError | None], None]) -> bool:
        """`settle`, without waiting: `done` hears of its end on the loop. False where only `settle` can, after a failed sync. Raises as `KernelSync.sync`.

        Never again before `done` was told: of two the first would hear what the other must know too.
        """
        if self._shared.doubt:
            return False
        kernel.sync(self._begun, lambda failure: done(self._kept(failure)))
        self._shared.kernel = time.monotonic()
        return True

    def _kept(self, failure: str | None) -> sqlite3.OperationalError | None:
        self._shared.kernel = Syncing.never
        if failure is not None:
            self._shared.failed()
        elif not self._shared.doubt:
            return None
        return sqlite3.OperationalError(f"the disk did not keep it: {failure or 'another sync failed meanwhile'}")

    def _hear(self) -> None:
        """Each of the open files tells of the failure that is known already: what is to be moved is in memory still."""
        for file in (self._file, self._begun):
            with suppress(OSError):
                os.fdatasync(file)

    def _opened(self) -> int:
        file = os.open(self._path, os.O_RDONLY)
        finalize(self, os.close, file)
        return file

    def _move(self) -> None:
        before, connection = self._shared.failures, self._driver.connect()
        try:
            connection.execute(f"PRAGMA busy_timeout={_MOVE_MS}")
            busy, pages, moved = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()
        finally:
            connection.close()
        if busy and pages != moved:
            raise sqlite3.OperationalError("after a failed sync the log's WAL could not be moved into its file yet")
        self._shared.doubt = bool(busy) or self._shared.failures != before


_wals: WeakKeyDictionary[Engine, Wal] = WeakKeyDictionary()


def settle(engine: Engine) -> None:
    """Make durable what was committed through `engine`, of which a connection is open. Raises sqlite3.OperationalError as `Wal.settle`."""
    wal = _wals.get(engine)
    if wal is None or not wal.current:
        try:
            wal = _wals[engine] = Wal(engine)
        except OSError as error:
            raise sqlite3.OperationalError(f"its WAL could not be opened to be synced: {error.strerror}") from error
    wal.settle()


class Own(NamedTuple):
    """A connection that is one thread's, and the WAL that it writes to."""

    connection: sqlite3.Connection
    wal: Wal


class Writer(threading.local):
    """Transactions that write, in the driver's own words and on a connection that each thread keeps: taking one out of a pool, and telling listeners what is
    done with it, costs a decision more than its statements.

    A commit syncs nothing: whoever acknowledges must `settle` before. So the write lock is not held while the disk works, and one sync does for many commits.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine, self._driver = engine, Driver.of(engine)
        self._own: Own | None = None

    def begin(self, *, patient: bool = True) -> Own:
        """A transaction, which holds the write lock from the start and must be ended. Raises the driver's errors; Locked where another one goes on holding the
        lock and nobody is to wait for it.
        """
        self._driver.place.check()
        own = self._own or self._opened()
        try:
            patiently(own.connection.execute, "BEGIN IMMEDIATE", WAIT_MS if patient else _BRIEF_MS)
        except sqlite3.OperationalError as error:
            if not patient and "locked" in str(error):
                raise Locked from None
            self._closed(own)
            raise
        self._own = None
        return own

    def end(self, own: Own, *, keep: bool) -> None:
        """Commit, or keep nothing of it. Raises the driver's errors: then nothing of it is kept."""
        if not keep:
            self._closed(own)
            return
        try:
            own.connection.execute("COMMIT")
        except BaseException:
            self._closed(own)
            raise
        self._own = own

    def _opened(self) -> Own:
        connection = self._driver.connect()
        connection.execute(f"PRAGMA wal_autocheckpoint={_MOST_PAGES}")
        self._own = Own(connection, Wal(self._engine))
        return self._own

    def _closed(self, own: Own) -> None:
        """Whatever state it was in is gone with it, what was not committed too."""
        self._own = None
        own.connection.close()


def _begin(connection: Connection) -> None:
    raw: Any = connection.connection.dbapi_connection
    if not connection.get_execution_options().get(WRITES):
        raw.execute("BEGIN")
        return
    raw.execute("PRAGMA busy_timeout=0")
    try:
        patiently(raw.execute, "BEGIN IMMEDIATE", WAIT_MS)
    finally:
        raw.execute(f"PRAGMA busy_timeout={WAIT_MS}")
