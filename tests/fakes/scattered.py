"""Raw rows of a small world in which much lands late and in any order, for tests of how days are built."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.fakes.raw import Row, decision, event, land, member, outcome
from training.config.settings import Settings
from training.domain.schema import MARTS

FIRST, LAST = date(2026, 1, 1), date(2026, 2, 12)
ONE = timedelta(days=1)
ARMS = ("none", "career.who_viewed.feed", "career.who_viewed.email")
LATE = (0, 0, 0, 1, 3, 9)


def moment(rng: Random) -> datetime:
    """Some second of the world's days."""
    return datetime.combine(FIRST, time(), UTC) + timedelta(seconds=rng.randrange((LAST - FIRST).days * 86_400))


def world(seed: int) -> dict[str, list[dict[str, Any]]]:
    """Raw rows of twelve members, of which many land 1 to 9 days late, in any order."""
    rng = Random(seed)
    ids = [f"m{i}" for i in range(12)]

    def placed(row: Row, key: str, when: datetime) -> dict[str, Any]:
        return {**dict(row), key: when, "landed": when.date() + rng.choice(LATE) * ONE}

    def answer(decision: int, number: int, kind: str) -> Row:
        return outcome(f"o{decision}.{number}", f"d{decision}", kind, "2026-01-01 00:00", value=5.0 if kind == "conversion" else None)

    versions = [dict(member(i, "2026-01-01 06:00")) for i in ids[:9]]
    versions += [dict(member(i, "2026-01-20 06:00")) for i in ids[9:]]
    versions += [placed(member(rng.choice(ids[:9]), "2026-01-01 06:00", country=f"C{n}"), "updated_at", moment(rng)) for n in range(25)]
    activity = [
        placed(event(f"e{n}", rng.choice(ids), rng.choice(("visit", "jobs", "purchase")), "2026-01-01 00:00"), "occurred_at", moment(rng)) for n in range(250)
    ]
    held = [
        placed(
            event(f"s{n}", rng.choice(ids), rng.choice(("started", "renewed", "cancelled")), "2026-01-01 00:00", product_id="career"),
            "occurred_at",
            moment(rng),
        )
        for n in range(60)
    ]
    decisions = [placed(decision(f"d{n}", rng.choice(ids), "2026-01-01 00:00", rng.choice(ARMS)), "decided_at", moment(rng)) for n in range(120)]
    outcomes = [
        {**row, "landed": max(row["landed"], decided["landed"])}  # an outcome is refused at landing until its decision is there
        for n, decided in enumerate(decisions)
        for k, kind in enumerate(("impression", "click", "dismiss", "conversion", "opt_out"))
        if rng.random() < 0.4
        for row in [placed(answer(n, k, kind), "occurred_at", decided["decided_at"] + timedelta(hours=rng.randrange(400)))]
    ]
    return {"members": versions, "activity": activity, "subscriptions": held, "decisions": decisions, "outcomes": outcomes}


def settled(home: Path, raw: Mapping[str, Iterable[Row]]) -> Settings:
    """Settings of a home whose raw folder holds these rows and no others."""
    settings = Settings(home=home)
    shutil.rmtree(settings.raw, ignore_errors=True)
    for table, rows in raw.items():
        land(settings.raw, table, rows)
    return settings


def exported(settings: Settings) -> dict[str, pa.Table]:
    """Each mart as dbt exported it, all rows and columns in their order."""
    return {name: pq.ParquetFile(settings.candidate / f"{name}.parquet").read() for name in MARTS}
