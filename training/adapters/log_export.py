"""The decision log as source data: day files beside those of the sources, where landing takes them up like any other."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.engine import make_url

from training.adapters.log_days import Ints, Plan, midnight, planned
from training.adapters.log_engine import instant, log_engine, reading
from training.adapters.log_record import served_of
from training.adapters.log_tables import decision_table, outcome_table
from training.adapters.parquet import arrow_schema
from training.adapters.ports import LandingReport, LandingZone
from training.config.settings import Settings
from training.domain.schema import DECISIONS, OUTCOMES, Table
from training.domain.served import Served

FILE = "served.parquet"
_MARK, _FORMAT = b"rightmatch.rows", b"1"
_GROUP = 5_000


@dataclass(frozen=True)
class Exported:
    """Rows written per table and the days of their files (none where nothing was new); `unknown` counts decisions of members whom no file names yet."""

    rows: Mapping[str, int]
    days: tuple[date, ...] = ()
    unknown: int = 0


class LoggedLanding:
    """A landing zone that first puts what the decision service logged beside the files of the sources. Without a log it is the one that it wraps."""

    def __init__(self, inner: LandingZone, settings: Settings) -> None:
        self._inner, self._settings = inner, settings

    def land(self, until: date) -> LandingReport:
        """Export, then land. Raises what either raises."""
        done = export(self._settings, until)
        if done.days:
            print(f"The decision log gave {', '.join(f'{n:,} {table}' for table, n in done.rows.items())} for {len(done.days)} day(s).", flush=True)
        if done.unknown:
            print(f"Left out: {done.unknown:,} logged decision(s) of members whom no file of members names yet; they follow when one does.", flush=True)
        return self._inner.land(until)


def export(settings: Settings, until: date) -> Exported:
    """Write `inbox/TABLE/day=DAY/served.parquet` for every day up to `until`, each whole or not at all; days that are as they were are not touched.

    The same rows give the same bytes. A day changes only where a row came to it later (one that was in flight at midnight), and then lands again.
    Memory: the ids of the log, about 50 bytes a decision, and 5,000 decisions.
    """
    if not there(settings):
        return Exported({})
    engine = log_engine(settings.log_url)
    try:
        with _alone(settings.inbox), reading(engine) as connection:
            try:
                plan = planned(connection, settings, until)
            except duckdb.Error as error:
                print(f"The decision log is not exported, since a file of members cannot be read: {error}", flush=True)
                return Exported({})
            return _written(connection, settings.inbox, plan)
    finally:
        engine.dispose()


def there(settings: Settings) -> bool:
    """Whether there is a log; asking makes none."""
    url = make_url(settings.log_url)
    return url.get_backend_name() != "sqlite" or Path(str(url.database)).is_file()


def last_day(settings: Settings, before: date) -> date | None:
    """The newest day before `before` on which the service decided anything, or None."""
    if not there(settings):
        return None
    at = decision_table.c.decided_at
    engine = log_engine(settings.log_url)
    try:
        with reading(engine) as connection:
            newest = connection.execute(select(func.max(at)).where(at < midnight(before))).scalar()
    finally:
        engine.dispose()
    return None if newest is None else instant(newest).date()


@contextmanager
def _alone(inbox: Path) -> Iterator[None]:
    """One export at a time; the lock goes with its process."""
    inbox.mkdir(parents=True, exist_ok=True)
    with (inbox / ".served.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _written(connection: Connection, inbox: Path, plan: Plan) -> Exported:
    rows: dict[str, int] = {}
    days: set[date] = set()
    for table, parts, columns in ((DECISIONS, plan.decisions, _decisions), (OUTCOMES, plan.outcomes, _outcomes)):
        for day in sorted({*parts, *_before(inbox, table)}):
            seq, file = parts.get(day, np.array([], np.int64)), inbox / table.name / f"day={day.isoformat()}" / FILE
            mark = sha256(_FORMAT + seq.tobytes()).hexdigest().encode()
            if mark != _mark(file):
                _write(file, table, mark, (columns(connection, seq[i : i + _GROUP]) for i in range(0, len(seq), _GROUP)))
                rows[table.name] = rows.get(table.name, 0) + len(seq)
                days.add(day)
    return Exported(rows, tuple(sorted(days)), plan.unknown)


def _before(inbox: Path, table: Table) -> list[date]:
    """Days that have a file of ours already. One whose rows have all moved to another day is written again, empty."""
    return [date.fromisoformat(file.parent.name.removeprefix("day=")) for file in (inbox / table.name).glob(f"day=????-??-??/{FILE}")]


def _mark(file: Path) -> bytes | None:
    """Which rows a file holds, as it says; None where there is none, or half of one."""
    try:
        return (pq.read_schema(file).metadata or {}).get(_MARK)
    except (OSError, pa.ArrowInvalid):
        return None


def _write(file: Path, table: Table, mark: bytes, groups: Iterable[Mapping[str, list[Any]]]) -> None:
    """Aside, then renamed: a reader sees the old file or the new one."""
    schema = arrow_schema(table).with_metadata({_MARK: mark})
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.aside")
    with pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for columns in groups:
            writer.write_table(pa.table(columns, schema=schema))
    aside.replace(file)


def _decisions(connection: Connection, seq: Ints) -> dict[str, list[Any]]:
    rows = connection.execute(_DECISIONS, {"seq": seq.tolist()}).mappings()
    return _columns(DECISIONS, [_decision(served_of(row)) for row in rows])


def _decision(served: Served) -> tuple[Any, ...]:
    a = served.asked
    values = {k: None if isinstance(v, float) and not isfinite(v) else v for k, v in served.features.items()}
    return (
        a.decision_id,
        a.member_id,
        a.at,
        a.context.surface.value,
        served.feasible,
        served.p,
        served.chosen_arm,
        served.propensity,
        served.group,
        served.model_version or None,
        served.feature_service or None,
        json.dumps(values, sort_keys=True),
        json.dumps(dict(served.excluded), sort_keys=True),
    )


def _outcomes(connection: Connection, seq: Ints) -> dict[str, list[Any]]:
    rows = connection.execute(_OUTCOMES, {"seq": seq.tolist()})
    return _columns(OUTCOMES, [(r.outcome_id, r.decision_id, r.kind, r.value, instant(r.occurred_at)) for r in rows])


def _columns(table: Table, rows: list[tuple[Any, ...]]) -> dict[str, list[Any]]:
    return {name: list(column) for name, column in zip(table.names, zip(*rows, strict=True), strict=True)}


_DECISIONS = select(decision_table).where(decision_table.c.seq.in_(bindparam("seq", expanding=True))).order_by(decision_table.c.seq)
_OUTCOMES = select(outcome_table).where(outcome_table.c.seq.in_(bindparam("seq", expanding=True))).order_by(outcome_table.c.seq)
