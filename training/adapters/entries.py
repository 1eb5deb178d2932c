"""What live judging reads of the published marts: decisions as codes and numbers, and members' features as they were before a day."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from training.adapters.parquet import days_in
from training.domain.assignment import Group
from training.domain.errors import DataError, NotReadyError
from training.domain.schema import DECISION_OUTCOMES, MEMBER_FEATURES
from training.evaluation.units import DAY, MICROSECOND, Decisions

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

Texts = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Seen:
    """What was decided until `end`, with what is known of it then. `surface` [n] is that of each decision."""

    decisions: Decisions
    surface: Texts
    end: datetime

    @property
    def instant(self) -> int:
        """`end` in microseconds since 1970 UTC."""
        return (self.end - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND


def by_groups(marts: Path, last: date, days: int = 7) -> bool:
    """Whether anybody decided by assignment groups in the `days` up to `last`; True where no mart says otherwise."""
    import pyarrow.parquet as pq

    file = marts / f"{DECISION_OUTCOMES.name}.parquet"
    if not file.is_file():
        return True
    end = datetime.combine(last + timedelta(days=1), time(), UTC)
    since = ("decided_at", ">=", end - timedelta(days=days)), ("decided_at", "<", end)
    return bool(pq.read_table(file, columns=["decision_id"], filters=[*since, ("assignment_group", "in", [group.value for group in Group])]).num_rows)


def seen(marts: Path, first: date, last: date, metrics: Sequence[str]) -> Seen:
    """Decisions of the UTC days `first` to `last` with their `metrics`. The same whatever the order of the file's rows.

    Raises NotReadyError where the published marts do not reach `last`.
    """
    import pyarrow.parquet as pq

    reached = max(days_in(marts / f"{MEMBER_FEATURES.name}.parquet"), default=None)
    file = marts / f"{DECISION_OUTCOMES.name}.parquet"
    if reached is None or reached < last or not file.is_file():
        raise NotReadyError(
            f"The published marts end with {reached or 'no day'}, so a look of {last} would take what is not yet known for what did not happen. "
            f"Run `features` for {last} first, or look at a day that it has published."
        )
    start, end = datetime.combine(first, time(), UTC), datetime.combine(last + timedelta(days=1), time(), UTC)
    columns = ["member_id", "decided_at", "surface", "assignment_group", *metrics]
    table = pq.read_table(file, columns=columns, filters=[("decided_at", ">=", start), ("decided_at", "<", end)])
    (ids, member), (surfaces, surface), (groups, logged) = (_codes(table[name]) for name in ("member_id", "surface", "assignment_group"))
    at = _instants(table["decided_at"])
    labels = {metric: _numbers(table[metric]) for metric in metrics}
    order = np.lexsort((*labels.values(), logged, surface, at, member))
    kept = Decisions(ids, member[order], at[order], groups, logged[order], {metric: values[order] for metric, values in labels.items()})
    return Seen(kept, np.array(surfaces, dtype=object)[surface[order]], end)


def _codes(column: pa.ChunkedArray) -> tuple[list[str], npt.NDArray[np.int64]]:
    """(names in order, code of each row)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = column.combine_chunks()
    coded = pc.dictionary_encode(whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks else whole)
    order = pc.sort_indices(coded.dictionary).to_numpy()
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return coded.dictionary.take(order).to_pylist(), rank[coded.indices.to_numpy()]


def _instants(column: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Microseconds since 1970 UTC."""
    import pyarrow as pa

    return np.asarray(column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64()).to_numpy())


def _numbers(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """NaN for NULL."""
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    return np.asarray(column.cast(pa.float64()).to_numpy(), dtype=np.float64)


def features_before(marts: Path, ids: Sequence[str], at: npt.NDArray[np.int64], columns: Sequence[str]) -> pd.DataFrame:
    """`columns` of member_features of each member, as they were known when the UTC day of `at` [u] (microseconds since 1970) began; NaN where they were not.

    A row of day D knows what happened on D, so the newest row of a day before is taken: nothing that the decision led to is in it. Row order is kept.
    Raises DataError for a column that the mart does not have.
    """
    import duckdb
    import pyarrow as pa

    unknown = [column for column in columns if column not in MEMBER_FEATURES.names]
    if unknown:
        raise DataError(
            f"member_features has no {', '.join(unknown)}, so segments by it could never be told apart. "
            f"Name a column of it in experiment.segments: {', '.join(MEMBER_FEATURES.names)}."
        )
    day = pa.array((at // DAY).astype(np.int32), type=pa.int32()).cast(pa.date32())
    units = pa.table({"u": pa.array(np.arange(len(at))), "member_id": pa.array(ids, type=pa.string()), "entered": day})
    query, file = _BEFORE.format(columns=", ".join(f'f."{column}"' for column in columns)), marts / f"{MEMBER_FEATURES.name}.parquet"
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        connection.register("units", units)
        found: pd.DataFrame = connection.execute(query, [str(file)]).df()
    return found.drop(columns="u")


_BEFORE = """
with features as not materialized (select * from read_parquet(?)),
yesterday as (select units.u, f.day from units inner join features as f on f.member_id = units.member_id and f.day = units.entered - 1),
rest as (select * from units anti join yesterday using (u)),
older as (
    select rest.u, max(f.day) as day from rest inner join features as f on f.member_id = rest.member_id and f.day < rest.entered group by rest.u
),
newest as (select * from yesterday union all select * from older),
wanted as (select newest.u, units.member_id, newest.day from newest inner join units using (u)),
known as (select wanted.u, {columns} from wanted inner join features as f on f.member_id = wanted.member_id and f.day = wanted.day)
select units.u, known.* exclude (u) from units left join known using (u) order by units.u
"""
