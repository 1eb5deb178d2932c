"""The table that every store is filled from: a wide member view with nulls, NaN, bounds of integers, instants and text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from feast import Entity, FeatureView, Field, FileSource
from feast.types import Bool, Float64, Int64, String, UnixTimestamp
from feast.value_type import ValueType

from training.domain.schema import MEMBER_CATEGORICAL, MEMBER_NUMERIC

NOW = datetime(2026, 3, 10, tzinfo=UTC)
WARM = NOW - timedelta(days=20)
WARM_MEMBERS = 100
"""A first, small materialization of an old day pays for imports and connections before the clock runs."""

VIEW = "bench_members"
MEMBER = Entity(name="member", join_keys=["member_id"], value_type=ValueType.STRING)
TYPES: dict[str, Any] = (
    dict.fromkeys((*MEMBER_CATEGORICAL, "consents"), String)
    | dict.fromkeys(MEMBER_NUMERIC, Float64)
    | dict.fromkeys(("visits_total", "points", "account"), Int64)
    | dict.fromkeys(("first_seen", "last_seen"), UnixTimestamp)
    | {"is_business": Bool}
)
"""The platform's own member features, and six of the types that it does not use today: 30 in all."""

_WORDS = np.array(["de", "us", "software", "manufacturing", "senior", "entry", "find_a_job", "grow_sales", "push,email,in_app", "", "zürich ✓"], dtype=object)
_ODD = np.array([0.0, -0.0, 5e-324, np.inf, -np.inf, np.nan, 1.7976931348623157e308, 0.1])
_INT64 = np.iinfo(np.int64)


def member(i: int) -> str:
    """Id of member `i`."""
    return f"m{i:08d}"


def write(folder: Path, members: int, seed: int) -> None:
    """Write `folder/members.parquet`: `members` rows of the day, in no order, and a few of an old day."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(members)
    day = _rows(rng, order, NOW)
    warm = _rows(rng, np.arange(min(WARM_MEMBERS, members)), WARM)
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.concat_tables([warm, day]), folder / "members.parquet")


def view(folder: Path) -> FeatureView:
    """The view over that file."""
    source = FileSource(path=str(folder / "members.parquet"), timestamp_field="event_timestamp", created_timestamp_column="created_timestamp")
    schema = [Field(name="member_id", dtype=String), *(Field(name=name, dtype=kind) for name, kind in TYPES.items())]
    return FeatureView(name=VIEW, entities=[MEMBER], ttl=timedelta(days=3), schema=schema, source=source)


def _rows(rng: np.random.Generator, ids: np.ndarray[Any, Any], at: datetime) -> pa.Table:
    stamp = pa.timestamp("us", tz="UTC")
    n = len(ids)
    columns: dict[str, pa.Array] = {"member_id": pa.array([member(int(i)) for i in ids])}
    columns["event_timestamp"] = pa.array(np.datetime64(at.replace(tzinfo=None), "us") - rng.integers(0, 86_400_000_000, n).astype("timedelta64[us]"), stamp)
    columns["created_timestamp"] = pa.array([at] * n, stamp)
    return pa.table(columns | {name: _column(rng, kind, n) for name, kind in TYPES.items()})


def _column(rng: np.random.Generator, kind: Any, n: int) -> pa.Array:  # noqa: ANN401 - one of Feast's types
    nulls = rng.random(n) < 0.1  # noqa: PLR2004 - a tenth unknown
    if kind is String:
        return pa.array(rng.choice(_WORDS, n), pa.string(), mask=nulls)
    if kind is Float64:
        return pa.array(np.where(rng.random(n) < 0.02, rng.choice(_ODD, n), rng.gamma(2.0, 7.0, n)), mask=nulls)  # noqa: PLR2004 - some odd ones
    if kind is Int64:  # no nulls: Feast's own conversion loses digits beside them
        return pa.array(rng.choice([_INT64.min, _INT64.max, 0, -1, 2**53 + 1, 7], n))
    if kind is Bool:
        return pa.array(rng.random(n) < 0.3, mask=nulls)  # noqa: PLR2004 - some
    seconds = rng.integers(-1_000_000, 1_900_000_000, n) * 1_000_000 + rng.integers(0, 1_000_000, n)
    return pa.array(seconds, pa.int64(), mask=nulls).cast(pa.timestamp("us", tz="UTC"))
