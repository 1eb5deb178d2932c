"""Made-up feature marts in the exact schema: every member consents to every channel, so that all arms of a surface are feasible."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from training.adapters.parquet import arrow_schema, write_parquet
from training.domain.catalog import Catalog
from training.domain.nouns import NONE
from training.domain.schema import ARM_FEATURES, ARM_NUMERIC, MEMBER_CATEGORICAL, MEMBER_FEATURES, MEMBER_NUMERIC, Table

UNKNOWN = 0.1
"""Share of each member feature that is NULL."""
_WORDS = 6
"""Different words of each text feature."""


def member(i: int) -> str:
    """Id of member `i`."""
    return f"m{i:07d}"


def write(marts: Path, members: int, catalog: Catalog, at: datetime, seed: int) -> None:
    """Write `member_features` and `arm_features` whose event time is `at`."""
    rng = np.random.default_rng(seed)
    write_parquet(_members(rng, members, catalog, at), marts / f"{MEMBER_FEATURES.name}.parquet")
    write_parquet(_arms(rng, catalog, at), marts / f"{ARM_FEATURES.name}.parquet")


def _members(rng: np.random.Generator, members: int, catalog: Catalog, at: datetime) -> pa.Table:
    words = {name: np.array([f"{name}_{k}" for k in range(_WORDS)], dtype=object)[rng.integers(0, _WORDS, members)] for name in MEMBER_CATEGORICAL}
    numbers = {name: np.round(rng.gamma(1.5, 4.0, members), 2) for name in MEMBER_NUMERIC}
    columns: dict[str, Any] = {name: pa.array(values, mask=rng.random(members) < UNKNOWN) for name, values in (words | numbers).items()}
    consents = ",".join(name for name, channel in catalog.channels.items() if channel.needs_consent)
    columns |= {"member_id": pa.array([member(i) for i in range(members)]), "consents": pa.array([consents] * members)}
    return _stamped(MEMBER_FEATURES, columns, members, at)


def _arms(rng: np.random.Generator, catalog: Catalog, at: datetime) -> pa.Table:
    arms = [*catalog.arms.values()]
    factors = ("arm_id", "product_id", "creative_id", "channel_id")
    columns: dict[str, Any] = {name: pa.array([*(getattr(a, name) for a in arms), NONE if name == "arm_id" else None]) for name in factors}
    counts: npt.NDArray[np.float64] = rng.integers(0, 5_000, (len(ARM_NUMERIC), len(arms) + 1)).astype(np.float64)
    columns |= {name: pa.array(row) for name, row in zip(ARM_NUMERIC, np.sort(counts, axis=0)[::-1], strict=True)}
    return _stamped(ARM_FEATURES, columns, len(arms) + 1, at)


def _stamped(table: Table, columns: Mapping[str, Any], rows: int, at: datetime) -> pa.Table:
    stamps = {"day": [(at - timedelta(days=1)).date()] * rows, "event_timestamp": [at] * rows, "created_timestamp": [at] * rows}
    schema = arrow_schema(table)
    whole = {**columns, **{name: pa.array(values, schema.field(name).type) for name, values in stamps.items()}}
    return pa.table({name: whole[name] for name in schema.names}).cast(schema)
