"""Connections to a log's SQLite file, all prepared alike, none to a file that has been put in its place."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

from sqlalchemy import Dialect, Engine, event
from sqlalchemy.engine import URL

from training.adapters.placed import Place

WAIT_MS = 5_000
"""How long a writer waits for another one before it gives up; transactions here last milliseconds."""
PAUSE = 0.0003
"""Seconds between two looks at the lock. SQLite's own pauses grow to 0.1 s, and a busy writer then keeps another one out for seconds."""


class Driver(NamedTuple):
    """How the file of an engine is opened. Keeps no engine."""

    dialect: Dialect
    url: URL
    place: Place

    @classmethod
    def of(cls, engine: Engine) -> Driver:
        """That of an engine that `watched` has seen."""
        return cls(engine.dialect, engine.url, _places[engine])

    def connect(self) -> sqlite3.Connection:
        """A connection that nobody else uses. Raises the driver's errors."""
        self.place.check()
        words, options = self.dialect.create_connect_args(self.url)
        connection = cast("sqlite3.Connection", self.dialect.connect(*words, **{**options, "timeout": 0, "check_same_thread": False}))
        _prepare(connection)
        return connection


_places: WeakKeyDictionary[Engine, Place] = WeakKeyDictionary()


def watched(engine: Engine, path: Path) -> Place:
    """Prepare what `engine` will open, and let it open no other file than the one that `path`, which may be a link, leads to the first time."""
    place = _places[engine] = Place(path)

    def look(*_: object) -> None:
        place.check()

    def prepare(connection: Any, entry: object) -> None:  # noqa: ANN401 - the driver's own
        del entry
        _prepare(connection)
        place.opened()

    event.listen(engine, "do_connect", look)
    event.listen(engine, "connect", prepare)
    return place


def patiently(ask: Callable[[str], object], words: str, wait_ms: int = WAIT_MS) -> None:
    """Ask again while another process holds the lock, for `wait_ms`."""
    deadline = time.monotonic() + wait_ms / 1000
    while True:
        try:
            ask(words)
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)
        else:
            return


def _prepare(connection: Any) -> None:  # noqa: ANN401 - the driver's own
    connection.isolation_level = None
    patiently(connection.execute, "PRAGMA journal_mode=WAL")  # SQLite does not always wait here by itself: 2 of 900 failed
    connection.execute("PRAGMA synchronous=NORMAL")  # beginnings of the WAL are synced, and what goes into the file; whoever commits must `settle`
    connection.execute("PRAGMA journal_size_limit=67108864")
