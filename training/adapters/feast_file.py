"""The online store's SQLite file: a table a view with one packed row an entity, and the layouts that rows are packed in."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from feast.protos.feast.types.Value_pb2 import Value

from training.adapters import feast_old
from training.adapters.feast_layout import Layout
from training.adapters.feast_response import Read
from training.adapters.placed import Place
from training.domain.errors import NotReadyError

BUSY_SECONDS = 30.0
"""How long a connection waits for another writer before it gives up."""
READ_SECONDS = 0.05
"""How long it waits to read. Nobody does in WAL, unless the file is being recovered, or held as a whole by something that is not ours: who serves decisions
cannot wait for that.
"""

MARK = 0x524D4F46
"""`application_id` of our files."""

VERSION = 1
"""`user_version`: what a row of these tables means."""

PAGE_BYTES = 8_192
"""Rows up to a quarter of this lie in the tree itself; the widest view of ours has 300 bytes."""

READ_AT_ONCE = 30_000
"""Keys in one statement; SQLite's own bound is 32,766."""

PATCH_KIB = 16_384
"""Of pages that whoever replaces single rows again and again keeps at hand. SQLite's 2 MiB are less than a view of 20,000 members has."""

CONVERT_AT_ONCE = 10_000
"""Entities of an old file in memory at once."""

WriteRow = tuple[bytes, int, int | None, int, bytes]
"""key, event and created time in microseconds, number of the layout, packed values."""

PatchRow = tuple[bytes, bytes, int, bytes]
"""packed values to be, key, and event time and packed values that were read."""


class PackedRow(NamedTuple):
    """One entity's row of a view as it lies in the file; times in microseconds since 1970."""

    event_us: int
    created_us: int | None
    layout: Layout
    packed: bytes

    def python(self, read: Read) -> list[Any]:
        """See `Row`."""
        reader = read.memo.get(self.layout)
        if reader is None:
            reader = read.memo[self.layout] = self.layout.reader(read.names)
        values: list[Any] = reader(self.packed)
        return values

    def proto(self) -> tuple[datetime | None, dict[str, Value] | None]:
        """See `Row`."""
        values = self.layout.values(self.packed)
        return datetime.fromtimestamp(self.event_us // 1_000_000, tz=UTC), values or None


class OnlineFile:
    """One connection to the file, for one thread. `config` is whose path it is: another one is another file. Who only reads is not `patient`, and makes no
    file: raises NotReadyError where there is none.
    """

    def __init__(self, path: Path, config: object, *, patient: bool = True) -> None:
        self.process = os.getpid()
        self.config = config
        self._path, self._place = path, Place(path)
        if not patient and not path.exists():
            raise NotReadyError(f"{path} is not there, so no member has features. Run the feature DAG (`rightmatch run`) or `feast apply` and materialize.")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS if patient else READ_SECONDS)
        self._connection.execute(f"pragma page_size = {PAGE_BYTES}")  # before the first table is made; later it changes nothing
        self._connection.execute("pragma journal_mode = wal")
        self._connection.execute("pragma synchronous = normal")
        self._wait(READ_SECONDS)
        self._place.opened()
        self._layouts: dict[int, Layout] = {}
        self._numbers: dict[str, int] = {}

    def check(self) -> None:
        """Raises NotReadyError unless the file is empty or of our layout and version."""
        mark, version = (int(self._connection.execute(f"pragma {name}").fetchone()[0]) for name in ("application_id", "user_version"))
        tables = self._connection.execute("select count(*) from sqlite_master where type = 'table'").fetchone()[0]
        if tables and (mark, version) != (MARK, VERSION):
            self.close()
            reason = (
                "was written by Feast's own layout, one row a feature" if mark != MARK else f"has version {version} of the layout, this code reads {VERSION}"
            )
            raise NotReadyError(
                f"{self._path} {reason}, so its features would be misread. Run the feature DAG (`rightmatch run`) or `feast apply` to convert it."
            )

    @property
    def current(self) -> bool:
        """Whether this is still the file that lies there."""
        return self._place.kept

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction: all that is written within is there afterwards, or nothing."""
        self._wait(BUSY_SECONDS)
        try:
            self._connection.execute("begin immediate")
        finally:
            self._wait(READ_SECONDS)
        try:
            yield
            self._connection.execute("commit")
        except BaseException:
            if self._connection.in_transaction:  # a full disk has ended it already
                self._connection.execute("rollback")
            self._numbers.clear()  # a layout numbered within is gone again
            self._layouts.clear()
            raise

    def create(self, table: str) -> None:
        """Make the table of a view, where it is not there yet."""
        self._connection.execute("create table if not exists feast_layouts (number integer primary key, columns text not null unique)")
        self._connection.execute(_CREATE.format(_quoted(table)))
        self._connection.execute(f"pragma application_id = {MARK}")
        self._connection.execute(f"pragma user_version = {VERSION}")

    def drop(self, table: str) -> None:
        """Forget a view."""
        self._connection.execute(f"drop table if exists {_quoted(table)}")

    def number_of(self, layout: Layout) -> int:
        """The number under which rows name `layout`, which it is given within the open transaction when it is new. A number never changes."""
        text = layout.json()
        if text not in self._numbers:
            self._connection.execute("insert or ignore into feast_layouts (columns) values (?)", [text])
            (self._numbers[text],) = self._connection.execute("select number from feast_layouts where columns = ?", [text]).fetchone()
        return self._numbers[text]

    def write(self, table: str, rows: Iterable[WriteRow]) -> None:
        """Write rows; one that is older than what is there, by (event time, created time), changes nothing."""
        self._connection.executemany(_UPSERT.format(_quoted(table)), rows)

    def patch(self, table: str, rows: Iterable[PatchRow]) -> int:
        """Replace the packed values of rows that still lie as they were read; returns how many did."""
        self._connection.execute(f"pragma cache_size = -{PATCH_KIB}")
        return self._connection.executemany(_PATCH.format(_quoted(table)), rows).rowcount

    def read(self, table: str, keys: Sequence[bytes]) -> dict[bytes, PackedRow]:
        """The rows of those `keys` that are there. Raises NotReadyError if the view has no table."""
        found: dict[bytes, PackedRow] = {}
        remaining = iter(keys)
        while part := list(islice(remaining, READ_AT_ONCE)):
            for key, event_us, created_us, number, packed in self._select(table, part):
                found[key] = PackedRow(event_us, created_us, self._layouts.get(number) or self._layout(number), packed)
        return found

    def upgrade(self, repack: Mapping[str, Callable[[Iterable[feast_old.OldRow]], Iterable[WriteRow]]]) -> bool:
        """Convert the tables that Feast's own layout wrote, within the open transaction: those of `repack` with their rows, others are dropped.

        Returns whether there was one.
        """
        old = [
            name for (name,) in self._connection.execute("select name from sqlite_master where type = 'table' and sql like '%feature_name TEXT%'").fetchall()
        ]
        for name in old:
            kept = f"{name}__old"
            self._connection.execute(f"alter table {_quoted(name)} rename to {_quoted(kept)}")
            self.create(name)
            if name in repack:
                entities = feast_old.entities(self._connection.execute(feast_old.SELECT.format(_quoted(kept))))
                while part := list(islice(entities, CONVERT_AT_ONCE)):
                    self.write(name, repack[name](part))
            self.drop(kept)
            print(f"{self._path.name}: {name} is converted from one row a feature to one row an entity.")
        return bool(old)

    def shrink(self) -> None:
        """Give back the room of dropped tables, where no other process holds the file; room that is kept is used by later rows."""
        with contextlib.suppress(sqlite3.OperationalError):
            self._connection.execute("vacuum")

    def _wait(self, seconds: float) -> None:
        self._connection.execute(f"pragma busy_timeout = {round(seconds * 1e3)}")

    def _select(self, table: str, keys: Sequence[bytes]) -> list[tuple[Any, ...]]:
        marks = "?" if len(keys) == 1 else ",".join("?" * len(keys))
        try:
            return self._connection.execute(_SELECT.format(_quoted(table), marks), keys).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" not in str(error):
                raise
            raise NotReadyError(f"{self._path} has no table {table}: its view was never applied, so nobody is known there. Run `feast apply` first.") from error

    def _layout(self, number: int) -> Layout:
        (text,) = self._connection.execute("select columns from feast_layouts where number = ?", [number]).fetchone()
        return self._layouts.setdefault(number, Layout.from_json(text))


_CREATE = """
create table if not exists {} (
    entity_key blob primary key, event_us integer not null, created_us integer, layout integer not null, packed blob not null
) without rowid
"""
_UPSERT = """
insert into {} (entity_key, event_us, created_us, layout, packed) values (?, ?, ?, ?, ?)
on conflict (entity_key) do update
set event_us = excluded.event_us, created_us = excluded.created_us, layout = excluded.layout, packed = excluded.packed
where (excluded.event_us, coalesce(excluded.created_us, 0)) >= (event_us, coalesce(created_us, 0))
"""
_PATCH = "update {} set packed = ? where entity_key = ? and event_us = ? and packed = ?"
_SELECT = "select entity_key, event_us, created_us, layout, packed from {} where entity_key in ({})"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
