"""Feast's SQLite online store with the three properties that serving needs. Named in `feature_repo/feature_store.yaml`.

1. A row never replaces a newer one (Feast's own store lets a backfill overwrite today's features).
2. Readers go on reading while a materialization writes (write-ahead log).
3. Rows are written in bulk, without the text copy of each value that only vector search reads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from datetime import datetime
from operator import itemgetter
from typing import Any, Literal

from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from feast.utils import to_naive_utc

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]

BUSY_SECONDS = 30.0
"""How long a connection waits for another writer before it gives up."""


class GuardedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):  # type: ignore[misc]
    """The options of Feast's SQLite store; only `path` matters here."""

    type: Literal["training.adapters.feast_online.GuardedSqliteOnlineStore"] = "training.adapters.feast_online.GuardedSqliteOnlineStore"


class GuardedSqliteOnlineStore(SqliteOnlineStore):  # type: ignore[misc]
    """Same tables and same reads as Feast's SQLite store; only writing differs."""

    def _get_conn(self, config: RepoConfig) -> sqlite3.Connection:
        fresh = not self._conn
        connection: sqlite3.Connection = super()._get_conn(config)
        if fresh:
            connection.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
        return connection

    def online_write_batch(self, config: RepoConfig, table: FeatureView, data: list[Row], progress: Callable[[int], Any] | None) -> None:
        """Write `data` in one transaction, keeping what is already newer by (event time, created time)."""
        connection = self._get_conn(config)
        with connection:
            connection.executemany(_UPSERT.format(_table(config, table)), _flat(data, config.entity_key_serialization_version))
        if progress:
            progress(len(data))


_UPSERT = """
insert into "{}" (entity_key, feature_name, value, event_ts, created_ts) values (?, ?, ?, ?, ?)
on conflict (entity_key, feature_name) do update
set value = excluded.value, event_ts = excluded.event_ts, created_ts = excluded.created_ts
where (excluded.event_ts, coalesce(excluded.created_ts, 0)) >= (event_ts, coalesce(created_ts, 0))
"""


def _table(config: RepoConfig, view: FeatureView) -> str:
    """Name of the view's table, escaped for double quotes."""
    name: str = compute_table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
    return name.replace('"', '""')


def _flat(data: list[Row], key_version: int) -> Iterator[tuple[bytes, str, bytes, int, int | None]]:
    keyed = [(serialize_entity_key(row[0], entity_key_serialization_version=key_version), row) for row in data]
    keyed.sort(key=itemgetter(0))  # in the order of the primary key, so that pages are filled one after the other
    for key, (_, values, event_at, created_at) in keyed:
        event_seconds = _seconds(event_at)
        created_seconds = None if created_at is None else _seconds(created_at)
        for name, value in sorted(values.items()):
            yield key, name, value.SerializeToString(), event_seconds, created_seconds


def _seconds(instant: datetime) -> int:
    # The form in which Feast's own store keeps and reads times.
    return int(to_naive_utc(instant).timestamp())
