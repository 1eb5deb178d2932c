"""Connections to the decision log: SQLite (WAL, synced after every commit) or Postgres, with the tables made once however many processes start together."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, inspect, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from training.adapters.log_driver import PAUSE, WAIT_MS
from training.adapters.log_sqlite import WRITES, settle, sqlite_engine
from training.adapters.log_tables import drop, make, outdated, whole
from training.domain.errors import ConfigError, LogError

if TYPE_CHECKING:
    from sqlalchemy.sql.dml import Insert

_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)
_TURN = 3 * PAUSE
"""Seconds that a file's writer leaves it to others who look for its lock."""
_SCHEMA, _ORDER = "rightmatch schema", "rightmatch order of "


def log_engine(url: str) -> Engine:
    """An engine with all tables of `log_tables`. Safe to call from many processes at once, on an empty database too.

    Raises ConfigError for a URL that is no lasting SQLite file or Postgres, LogError where the database cannot be opened.
    """
    parsed = _parsed(url)
    engine = sqlite_engine(parsed) if parsed.get_backend_name() == "sqlite" else _postgres(parsed)
    with telling("opened", engine):
        if not whole(inspect(engine)):  # who only opens waits for no writer
            with _schema(engine) as connection:
                make(connection)
        if old := outdated(inspect(engine)):
            with _schema(engine) as connection:
                drop(connection, old)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection whose statements see one state of the log (Postgres: each statement its own)."""
    with telling("read", engine), _transaction(engine) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction: durable when the block has ended, nothing of it kept if the block raises. SQLite takes its write lock at once, and gives it back before
    the disk has all of it: whoever decides waits for no sync of another.
    """
    with telling("written", engine), _transaction(engine, writes=True) as connection:
        yield connection


@contextmanager
def telling(done: str, engine: Engine) -> Iterator[None]:
    """A database's error, or that of the driver of `engine`, as LogError: what could not be `done`, and the database's own words."""
    try:
        yield
    except (SQLAlchemyError, engine.dialect.loaded_dbapi.Error) as error:
        raise told(done, error) from error


def told(done: str, error: Exception) -> LogError:
    """What the database refused: what could not be `done`, and the database's own words."""
    own = str(getattr(error, "orig", None) or error).strip().splitlines()
    return LogError(
        f"The decision log could not be {done}: {own[0] if own else type(error).__name__}. {_MEANS[done]} "
        "Free disk space, or bring the database back, and ask again."
    )


def lock(connection: Connection, names: Sequence[str]) -> None:
    """Hold `names` until the transaction ends. In one order for all, so that two transactions never wait for each other; SQLite's writer is alone anyway."""
    if connection.dialect.name == "postgresql" and names:
        keys = sorted({int.from_bytes(blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest(), "big", signed=True) for name in names})
        connection.execute(_LOCK, {"keys": keys})


def in_order(connection: Connection, table: Table) -> None:
    """Hold the right to add rows to `table`, so that `seq` grows in the order of the commits and who reads on from the last `seq` misses none.

    Taken last, after every other lock.
    """
    lock(connection, [_ORDER + table.name])


def micros(at: datetime) -> int:
    """Microseconds since 1970 UTC, as the tables keep instants. Raises ValueError for one without a time zone: it could be any hour."""
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone, so the log could not say when it was. Give an aware instant.")
    return (at - _EPOCH) // _MICROSECOND


def instant(micros: int) -> datetime:
    """The other way round, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def write_parts(engine: Engine, statement: Insert, parts: Iterable[Sequence[Mapping[str, object]]]) -> None:
    """Execute `statement` with each of `parts` in a transaction of its own, between which others write. All are durable when it returns, by one sync."""
    file = engine.dialect.name == "sqlite"
    with telling("written", engine), engine.connect() as connection:
        writer = connection.execution_options(**{WRITES: True})
        for i, rows in enumerate(parts):
            if file and i:
                time.sleep(_TURN)
            with writer.begin():
                writer.execute(statement, rows)
        if file:
            settle(engine)


def insert_new(engine: Engine | Connection, table: Table) -> Insert:
    """INSERT that leaves a row alone which is already there."""
    if engine.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def insert_or_replace(connection: Engine | Connection, table: Table) -> Insert:
    """INSERT that puts its values in the place of a row of the same key."""
    made = postgresql.insert(table) if connection.dialect.name == "postgresql" else sqlite.insert(table)
    keys = [column.name for column in table.primary_key]
    return made.on_conflict_do_update(index_elements=keys, set_={c.name: made.excluded[c.name] for c in table.columns if c.name not in keys})


_MEANS = {
    "opened": "Nothing can be decided without it, for nobody would know what was shown.",
    "read": "Caps, consent and earlier answers are in it.",
    "written": "The transaction was kept whole or not at all and may not be acknowledged; the same ids may be sent again.",
}
_NETWORK = {"connect_timeout": 5, "tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 3}
"""Seconds until a server that does not answer counts as down; milliseconds until a connection does on which what was sent is not acknowledged; and when one is
looked after on which an answer is waited for (libpq's words). The URL may say otherwise.
"""
_LOCK = text("SELECT pg_advisory_xact_lock(k) FROM unnest(CAST(:keys AS bigint[])) AS t(k)")


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
        parsed.get_dialect()
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise ConfigError(f"The decision log's URL cannot be used: {error}. Write sqlite:////PATH or postgresql+psycopg://USER@HOST/DATABASE.") from error
    name = parsed.get_backend_name()
    if name not in {"sqlite", "postgresql"} or (name == "sqlite" and (parsed.database or ":memory:") == ":memory:"):
        raise ConfigError(
            f"The decision log cannot be kept in {parsed.render_as_string()}: an acknowledged decision must outlast the process and lock as SQLite files and "
            "Postgres do. Write sqlite:////PATH or postgresql+psycopg://USER@HOST/DATABASE."
        )
    return parsed


@contextmanager
def _schema(engine: Engine) -> Iterator[Connection]:
    """One at a time."""
    with _transaction(engine, writes=True) as connection:
        if engine.dialect.name == "postgresql":
            lock(connection, [_SCHEMA])
        yield connection


@contextmanager
def _transaction(engine: Engine, *, writes: bool = False) -> Iterator[Connection]:
    with engine.connect() as connection:
        with connection.execution_options(**{WRITES: writes}).begin():
            yield connection
        if writes and engine.dialect.name == "sqlite":
            settle(engine)  # before the connection is given back: it keeps the WAL where it is


def _postgres(url: URL) -> Engine:
    engine = create_engine(url, isolation_level="READ COMMITTED", pool_pre_ping=True, connect_args={k: v for k, v in _NETWORK.items() if k not in url.query})
    event.listen(engine, "connect", _prepare_postgres)
    return engine


def _prepare_postgres(connection: Any, entry: object) -> None:  # noqa: ANN401 - the driver's own
    """A commit is on disk when it returns, whatever the server's default; nobody waits for ever."""
    del entry
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {WAIT_MS}")
        cursor.execute("SHOW synchronous_commit")
        if cursor.fetchone()[0] == "off":
            cursor.execute("SET synchronous_commit = on")
    connection.commit()
