"""Which day's file each row of the log belongs into: the day on which it became known, and its member with it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, Select, select

from training.adapters.landing_files import Raw, inbox_partitions
from training.adapters.landing_rules import quoted
from training.adapters.log_engine import micros
from training.adapters.log_tables import decision_table, outcome_table
from training.config.settings import Settings

Ints = npt.NDArray[np.int64]
_DAY = 86_400_000_000
_NEVER = np.iinfo(np.int64).max
_CHUNK = 50_000


@dataclass(frozen=True)
class Plan:
    """`seq` of the decisions and outcomes of each day's file, ascending; `unknown` counts decisions of members whom no file names."""

    decisions: dict[date, Ints]
    outcomes: dict[date, Ints]
    unknown: int


def planned(connection: Connection, settings: Settings, until: date) -> Plan:
    """Rows of the days up to `until`.

    A decision goes into the file of the day on which it was taken, or on which its member first landed if that is later; an outcome into that of the day on
    which it was received, or happened (clocks differ by minutes), or its decision landed. So every file holds only what was known on its day, no day that is
    over changes because of a late outcome, and whoever is unknown today is exported as soon as a file names them.
    """
    d, o = decision_table.c, outcome_table.c
    end = midnight(until + timedelta(days=1))
    members = first_days(settings, until)
    seq, taken, known = _columns(connection, select(d.seq, d.decided_at, d.member_id).where(d.decided_at < end).order_by(d.seq), members)
    landed = np.maximum(taken // _DAY, known)
    asked = select(o.seq, o.received_at, o.occurred_at, d.seq).join_from(outcome_table, decision_table, o.decision_id == d.decision_id)
    outcome, received, occurred, decision = _columns(connection, asked.where(o.received_at < end).order_by(o.seq))
    at = np.searchsorted(seq, decision)
    there = at < len(seq)
    there[there] = seq[at[there]] == decision[there]
    parents = np.full(len(outcome), _NEVER)
    parents[there] = landed[at[there]]
    happened = np.maximum(np.maximum(received // _DAY, occurred // _DAY), parents)
    return Plan(_by_day(seq, landed, until), _by_day(outcome, happened, until), int(np.count_nonzero(known == _NEVER)))


def midnight(day: date) -> int:
    """The instant at which `day` begins, as the log keeps it."""
    return micros(datetime.combine(day, time(), UTC))


def first_days(settings: Settings, until: date) -> pa.Table:
    """`member_id` and `day` (since 1970) of the first file up to `until` that names the member, as raw will be when the inbox has landed."""
    coming = {p.day: p.files for p in inbox_partitions(settings.inbox)[0] if p.table == "members" and p.day <= until}
    landed = {day: (file,) for (table, day), file in Raw(settings.raw).days().items() if table == "members" and day not in coming and day <= until}
    parts = [_members(day, files) for day, files in sorted((landed | coming).items())]
    if not parts:
        return pa.table({"member_id": pa.array([], pa.string()), "day": pa.array([], pa.int64())})
    with duckdb.connect() as connection:
        return connection.sql(f"SELECT member_id, min(day) AS day FROM ({' UNION ALL '.join(parts)}) GROUP BY member_id").to_arrow_table()  # noqa: S608 - paths are quoted


def _members(day: date, files: Iterable[Path]) -> str:
    paths = ", ".join(quoted(str(f.absolute())) for f in files)
    number = (day - date(1970, 1, 1)).days
    return f"SELECT DISTINCT member_id::VARCHAR AS member_id, {number}::BIGINT AS day FROM read_parquet([{paths}], hive_partitioning=false)"  # noqa: S608 - as above


def _columns(connection: Connection, asked: Select[Any], members: pa.Table | None = None) -> tuple[Ints, ...]:
    """Columns of a query as arrays; with `members` the last one is their ids, and becomes their first day."""
    parts: list[list[Ints]] = []
    for rows in connection.execution_options(yield_per=_CHUNK).execute(asked).partitions():
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True))
        numbers = [np.array(column, dtype=np.int64) for column in (columns if members is None else columns[:-1])]
        parts.append(numbers if members is None else [*numbers, _known(columns[-1], members)])
    width = len(asked.selected_columns)
    return tuple(np.concatenate([part[k] for part in parts]) if parts else np.array([], np.int64) for k in range(width))


def _known(ids: Sequence[str], members: pa.Table) -> Ints:
    at = pc.index_in(pa.array(ids, pa.string()), value_set=members["member_id"])
    days: Ints = pc.take(members["day"].combine_chunks(), at).fill_null(_NEVER).to_numpy(zero_copy_only=False).astype(np.int64)
    return days


def _by_day(seq: Ints, day: Ints, until: date) -> dict[date, Ints]:
    last = (until - date(1970, 1, 1)).days
    seq, day = seq[day <= last], day[day <= last]
    order = np.argsort(day, kind="stable")
    days, starts = np.unique(day[order], return_index=True)
    parts = np.split(seq[order], starts[1:]) if len(days) else []
    return {date(1970, 1, 1) + timedelta(days=int(n)): part for n, part in zip(days, parts, strict=True)}
