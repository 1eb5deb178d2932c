"""A landing zone in memory, and one small correct day of raw tables for the real one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.adapters.parquet import arrow_schema
from training.adapters.ports import LandingReport
from training.domain.errors import LandingError, NotReadyError
from training.domain.schema import RAW

Rows = list[dict[str, object]]


class FakeLanding:
    """The contract of `ports.LandingZone` on row counts: `inbox` holds rows by day and table, `refused` says why a day is wrong."""

    def __init__(self, inbox: Mapping[date, Mapping[str, int]], refused: Mapping[date, str] | None = None) -> None:
        self.inbox = dict(inbox)
        self.refused = dict(refused or {})
        self.landed: dict[date, Mapping[str, int]] = {}

    def land(self, until: date) -> LandingReport:
        """Land the days that are new or changed, all or none."""
        due = {day: rows for day, rows in sorted(self.inbox.items()) if day <= until}
        if not due and not self.landed:
            raise NotReadyError(f"There is no data up to {until.isoformat()} and nothing has landed before.")
        batch = {day: rows for day, rows in due.items() if self.landed.get(day) != rows}
        wrong = [f"- {day}: {self.refused[day]}" for day in batch if day in self.refused]
        if wrong:
            raise LandingError("\n".join(wrong))
        self.landed |= batch
        tables = [t for t in RAW if any(t in rows for rows in batch.values())]
        return LandingReport({t: sum(rows.get(t, 0) for rows in batch.values()) for t in tables}, tuple(batch), max(self.landed))


def write_rows(root: Path, table: str, day: date, rows: Sequence[Mapping[str, object]], name: str = "part.parquet") -> Path:
    """Write `rows` as one inbox file of `table` and `day` with the exact schema."""
    folder = root / table / f"day={day.isoformat()}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(rows), schema=arrow_schema(RAW[table])), folder / name)
    return folder / name


def good_day(day: date, members: int = 2) -> dict[str, Rows]:
    """Five correct tables: each member signs up, visits, subscribes, gets one decision of the simulated catalog (none or a feed arm) and one impression."""
    at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC)
    ids = [f"m{day.isoformat()}-{i}" for i in range(members)]
    tables: dict[str, Rows] = {name: [] for name in RAW}
    for member in ids:
        tables["members"].append({"member_id": member, "signup_at": at, "lifetime_value": 1.5, "consents": "email,push", "updated_at": at})
        tables["activity"].append({"event_id": f"a-{member}", "member_id": member, "kind": "visit", "occurred_at": at})
        tables["subscriptions"].append({"event_id": f"s-{member}", "member_id": member, "product_id": "career", "kind": "started", "occurred_at": at})
        tables["decisions"].append(decision(f"d-{member}", member, at))
        seen = {"outcome_id": f"o-{member}", "decision_id": f"d-{member}", "kind": "impression", "occurred_at": at + timedelta(seconds=1)}
        tables["outcomes"].append(seen)
    return tables


def decision(decision_id: str, member_id: str, at: datetime) -> dict[str, object]:
    """A decision between `none` (a quarter) and one feed arm (three quarters), which was chosen."""
    arm = "career.who_viewed.feed"
    return {
        "decision_id": decision_id,
        "member_id": member_id,
        "decided_at": at,
        "surface": "web",
        "feasible_arms": ["none", arm],
        "propensities": [0.25, 0.75],
        "chosen_arm": arm,
        "propensity": 0.75,
        "assignment_group": "random",
    }


def write_tables(root: Path, day: date, tables: Mapping[str, Rows]) -> None:
    """Write the tables of one day into an inbox."""
    for table, rows in tables.items():
        write_rows(root, table, day, rows)
