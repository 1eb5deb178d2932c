"""Two real Feasts over the same table: Feast's own SQLite store and engine, and ours. Columns of every type that a feature may have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureStore, FeatureView, Field, FileSource
from feast.repo_config import RepoConfig
from feast.types import Array, Bool, Bytes, Float32, Float64, Int32, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from training.adapters.feast_quiet import quiet

D = datetime(2026, 3, 10, tzinfo=UTC)
DAY = timedelta(days=1)
BIG = 2**63 - 1
TIMES = pa.timestamp("us", tz="UTC")

MEMBER = Entity(name="member", join_keys=["member_id"], value_type=ValueType.STRING)
STOCK: Mapping[str, Any] = {"online_store": {"type": "sqlite"}}
OURS: Mapping[str, Any] = {
    "online_store": {"type": "training.adapters.feast_online.PackedSqliteOnlineStore"},
    "batch_engine": {"type": "training.adapters.feast_engine.ColumnarEngine"},
}

SCHEMA = {
    "number": Float64,
    "small": Float32,
    "count": Int64,
    "rank": Int32,
    "text": String,
    "raw": Bytes,
    "flag": Bool,
    "seen": UnixTimestamp,
    "tags": Array(String),
    "nothing": Float64,
}

ROWS: Mapping[str, tuple[pa.DataType, list[Any]]] = {
    "member_id": (pa.string(), ["a", "b", "ç", "a much longer name"]),
    "event_timestamp": (TIMES, [D, D - timedelta(microseconds=1), D - timedelta(hours=1), D]),
    "created_timestamp": (TIMES, [D, D, D, D + timedelta(microseconds=5)]),
    "number": (pa.float64(), [-0.0, None, math.nan, 5e-324]),
    "small": (pa.float32(), [0.1, None, -math.inf, 3.4e38]),
    "count": (pa.int64(), [BIG, -BIG - 1, 0, -1]),
    "rank": (pa.int32(), [2**31 - 1, -(2**31), 0, 7]),
    "text": (pa.string(), ["", None, "naïve ✓", "x" * 300]),
    "raw": (pa.binary(), [b"", None, b"\x00\xff", b"z" * 200]),
    "flag": (pa.bool_(), [True, None, False, True]),
    "seen": (TIMES, [D, None, datetime(1969, 12, 31, 23, 59, 58, tzinfo=UTC), D + timedelta(microseconds=999_999)]),
    "tags": (pa.list_(pa.string()), [["a", "b"], None, [], ["c"]]),
    "nothing": (pa.float64(), [None, None, None, None]),
}
"""Member b is null wherever it can be; the others hold what is easily lost."""


def table(**replaced: list[Any]) -> pa.Table:
    """ROWS with some columns replaced."""
    return pa.table({name: pa.array(replaced.get(name, values), kind) for name, (kind, values) in ROWS.items()})


def member_view(folder: Path, schema: Mapping[str, Any] = SCHEMA) -> FeatureView:
    """The view over `folder/rows.parquet`."""
    source = FileSource(path=str(folder / "rows.parquet"), timestamp_field="event_timestamp", created_timestamp_column="created_timestamp")
    fields = [Field(name="member_id", dtype=String), *(Field(name=name, dtype=kind) for name, kind in schema.items())]
    return FeatureView(name="m", entities=[MEMBER], ttl=3 * DAY, schema=fields, source=source)


def feast(folder: Path, name: str, options: Mapping[str, Any], rows: pa.Table | None = None, schema: Mapping[str, Any] = SCHEMA) -> FeatureStore:
    """A Feast called `name` with one view applied; `rows`, where given, become its source."""
    if rows is not None:
        pq.write_table(rows, folder / "rows.parquet")
    store = opened(folder, name, options)
    with quiet():
        store.apply([MEMBER, member_view(folder, schema)])
    return store


def project(folder: Path) -> str:
    """Another one for each folder: Feast keeps what it has read of a registry under the address of an object, which a later registry's may have again."""
    return f"p{crc32(str(folder).encode())}"


def opened(folder: Path, name: str, options: Mapping[str, Any]) -> FeatureStore:
    """A Feast called `name` with nothing applied; batches of three rows, so that several are written."""
    where = {} if "connection_string" in options["online_store"] else {"path": str(folder / f"{name}.db")}
    config = RepoConfig(
        project=project(folder),
        provider="local",
        registry={"registry_type": "sql", "path": f"sqlite:///{folder / name}_registry.db", "cache_ttl_seconds": 60},
        offline_store={"type": "duckdb"},
        materialization={"pull_latest_features": True, "online_write_batch_size": 3},
        data_quality_monitoring={"auto_baseline": False},
        entity_key_serialization_version=3,
        **options | {"online_store": options["online_store"] | where},
    )
    config.repo_path = folder
    return FeatureStore(config=config)


def materialize(store: FeatureStore, until: datetime = D + DAY) -> None:
    """Everything of the three days before `until`."""
    with quiet():
        store.materialize(start_date=until - 3 * DAY, end_date=until)


def references(schema: Mapping[str, Any] = SCHEMA) -> list[str]:
    """Every feature of the view."""
    return [f"m:{name}" for name in schema]
