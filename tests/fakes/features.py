"""A feature store in memory, and small feature marts with the exact schema. Both stores read the same Parquet files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from training.adapters.parquet import arrow_schema
from training.domain.schema import ARM_FEATURES, MEMBER_FEATURES, Table


def feature_row(event_at: datetime, created_at: datetime | None = None, **values: object) -> dict[str, object]:
    """One mart row known since `created_at` (by default its event time); columns that are not given are NULL."""
    day = (event_at - timedelta(days=1)).date()
    return {"day": day, "event_timestamp": event_at, "created_timestamp": created_at or event_at, **values}


def write_mart(folder: Path, table: Table, rows: Sequence[Mapping[str, object]]) -> Path:
    """Write `rows` as `folder/TABLE.parquet` with the exact schema; columns that a row lacks are NULL."""
    folder.mkdir(parents=True, exist_ok=True)
    full = [{name: row.get(name) for name in table.names} for row in rows]
    path = folder / f"{table.name}.parquet"
    pq.write_table(pa.Table.from_pylist(full, schema=arrow_schema(table)), path)
    return path


class FakeFeatureStore:
    """The contract of `ports.FeatureStore` in plain loops, to compare the real one with and to run steps on."""

    def __init__(self, marts: Path, ttl: timedelta) -> None:
        self.marts = marts
        self.ttl = ttl
        self.applied = False
        self.reached: datetime | None = None
        self.online: dict[str, dict[str, dict[str, object]]] = {"member_id": {}, "arm_id": {}}

    def apply(self) -> None:
        """Remember that the definitions are registered."""
        self.applied = True

    def materialize(self, until: datetime) -> int:
        """Keep the newest valid row of each entity; an earlier `until` than before changes nothing."""
        if self.reached is not None and until < self.reached:
            return 0
        self.reached = until
        written = 0
        for table in (MEMBER_FEATURES, ARM_FEATURES):
            newest: dict[str, dict[str, object]] = {}
            for row in self._rows(table):
                if until - self.ttl <= row["event_timestamp"] <= until:  # type: ignore[operator]
                    newest[str(row[table.key[0]])] = row
            self.online[table.key[0]].update(newest)
            written += len(newest)
        return written

    def training_frame(self, decisions: pd.DataFrame) -> pd.DataFrame:
        """For each decision the newest row whose event and creation are at or before it and within the time to live."""
        added: list[dict[str, object]] = []
        members, arms = self._rows(MEMBER_FEATURES), self._rows(ARM_FEATURES)
        for decision in decisions.to_dict("records"):
            at = decision["event_timestamp"]
            member = self._known(members, "member_id", decision["member_id"], at)
            arm = self._known(arms, "arm_id", decision["arm_id"], at)
            added.append(
                {n: member.get(n) for n in _features(MEMBER_FEATURES)} | {f"arm_{n}": arm.get(n) for n in _features(ARM_FEATURES)},
            )
        names = [*_features(MEMBER_FEATURES), *(f"arm_{n}" for n in _features(ARM_FEATURES))]
        return pd.concat([decisions, pd.DataFrame(added, index=decisions.index, columns=names)], axis=1)

    local = True

    def online_members(self, member_ids: Sequence[str]) -> list[dict[str, object]]:
        """Online member features in order; {} where unknown."""
        return [self._served(MEMBER_FEATURES, i) for i in member_ids]

    def online_arms(self, arm_ids: Sequence[str]) -> list[dict[str, object]]:
        """Online arm features in order; {} where unknown."""
        return [self._served(ARM_FEATURES, i) for i in arm_ids]

    def _served(self, table: Table, entity: str) -> dict[str, object]:
        row = self.online[table.key[0]].get(entity)
        return {} if row is None else {n: row[n] for n in (*_features(table), "event_timestamp")}

    def _known(self, rows: list[dict[str, object]], key: str, entity: str, at: datetime) -> dict[str, object]:
        found: dict[str, object] = {}
        for row in rows:  # ordered by event time, then created time: the last match wins
            if row[key] == entity and row["created_timestamp"] <= at and row["event_timestamp"] <= at <= row["event_timestamp"] + self.ttl:  # type: ignore[operator]
                found = row
        return found

    def _rows(self, table: Table) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = pq.read_table(self.marts / f"{table.name}.parquet").to_pylist()
        for row in rows:
            for name in ("event_timestamp", "created_timestamp"):
                row[name] = row[name].astimezone(UTC)  # type: ignore[attr-defined]
        return sorted(rows, key=lambda row: (row["event_timestamp"], row["created_timestamp"]))  # type: ignore[arg-type,return-value]


def _features(table: Table) -> tuple[str, ...]:
    return tuple(n for n in table.names if n not in {*table.key, "event_timestamp", "created_timestamp"})
