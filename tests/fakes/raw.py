"""Tiny raw day files with the exact schema: what a row lacks is NULL, and each row says on which day it landed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa

from training.adapters.parquet import arrow_schema, write_parquet
from training.domain.schema import RAW

Row = Mapping[str, object]


def at(text: str) -> datetime:
    """A time as `2026-01-31 10:00`, UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def land(raw: Path, table: str, rows: Iterable[Row]) -> None:
    """Write `rows` to `raw/TABLE/day=LANDED/part.parquet`; a row's `landed` is a day, by default that of its time column."""
    spec = RAW[table]
    days: dict[date, list[dict[str, object]]] = defaultdict(list)
    for row in rows:
        when = row[spec.time]
        landed = row.get("landed") or (when.date() if isinstance(when, datetime) else None)
        if not isinstance(landed, date):
            raise TypeError(f"{table} row {row!r} has neither a landing day nor a time")
        days[landed].append({name: row.get(name) for name in spec.names})
    for day, content in days.items():
        write_parquet(pa.Table.from_pylist(content, schema=arrow_schema(spec)), raw / table / f"day={day.isoformat()}" / "part.parquet")


def close(raw: Path, day: date) -> None:
    """Land a file without any row for `day`, so that it has come although nothing happened on it."""
    file = raw / "activity" / f"day={day.isoformat()}" / "part.parquet"
    if not file.is_file():
        write_parquet(arrow_schema(RAW["activity"]).empty_table(), file)


def member(member_id: str, signup: str, **values: object) -> Row:
    """A first version of a member."""
    return {"member_id": member_id, "signup_at": at(signup), "updated_at": at(signup), "country": "NL", "lifetime_value": 0.0, "consents": "email", **values}


def decision(decision_id: str, member_id: str, decided: str, arm: str = "none", **values: object) -> Row:
    """A decision between `arm` (or another one) and `none`, each drawn with probability one half."""
    other = arm if arm != "none" else "core.core_save.web_banner"
    return {
        "decision_id": decision_id,
        "member_id": member_id,
        "decided_at": at(decided),
        "surface": "web",
        "feasible_arms": ["none", other],
        "propensities": [0.5, 0.5],
        "chosen_arm": arm,
        "propensity": 0.5,
        "assignment_group": "log",
        **values,
    }


def outcome(outcome_id: str, decision_id: str, kind: str, occurred: str, **values: object) -> Row:
    """What followed a decision."""
    return {"outcome_id": outcome_id, "decision_id": decision_id, "kind": kind, "occurred_at": at(occurred), **values}


def event(event_id: str, member_id: str, kind: str, occurred: str, **values: object) -> Row:
    """An activity, or with `product_id` a subscription event."""
    return {"event_id": event_id, "member_id": member_id, "kind": kind, "occurred_at": at(occurred), **values}
