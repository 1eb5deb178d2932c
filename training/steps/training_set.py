"""`training_set`: every decision of the window, with the features that were known at its instant and the labels that are mature."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from training.adapters.parquet import days_in
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.errors import DataError, NotReadyError
from training.domain.labels import DISMISSED, OUTCOME_WINDOWS, VALUE
from training.domain.nouns import Label
from training.domain.schema import ARM_FEATURES, DECISION_OUTCOMES, MEMBER_CATEGORICAL, MEMBER_FEATURES, MEMBER_NUMERIC, Type
from training.domain.served import FALLBACK

if TYPE_CHECKING:
    import pyarrow as pa

_MEMBER_TEXTS = (*MEMBER_CATEGORICAL, "consents")
_ARM = tuple(c for c in ARM_FEATURES.columns if c.name not in {"arm_id", "day", "event_timestamp", "created_timestamp"})


@dataclass(frozen=True)
class TrainingSetReport:
    """`missing` is the share of decisions of whose member nothing was known then; `mature` counts the usable answers of each label."""

    rows: int
    missing: float
    mature: dict[str, int]
    path: Path


def run(day: date, settings: Settings, platform: Platform) -> TrainingSetReport:
    """Write `training_set.parquet` of the run of `day`: all columns of decision_outcomes, `event_timestamp`, member and `arm_` features.

    Nothing later than the end of `day` is seen, so that the run of an old day gives the same bytes whenever it is repeated.
    Raises NotReadyError without the marts, where their features do not reach `day`, or without any mature label; DataError if no decision has
    any member features.
    """
    import pyarrow.parquet as pq

    reached = max(days_in(settings.marts / f"{MEMBER_FEATURES.name}.parquet"), default=None)
    mart = settings.marts / f"{DECISION_OUTCOMES.name}.parquet"
    if not mart.is_file():
        raise NotReadyError(f"The mart {mart} does not exist, so there are no decisions to learn from. Run the feature DAG (`rightmatch run`) first.")
    if reached is None or reached < day:
        raise NotReadyError(
            f"The published features end with {reached.isoformat() if reached else 'no day'}, so a model of {day.isoformat()} would claim to know days that "
            f"it never saw. Run `features` for {day.isoformat()} first, or train for a day that it has published."
        )
    end = datetime.combine(day + timedelta(days=1), time(), UTC)
    window = timedelta(days=settings.training.window_days)
    decisions = as_known(taken(pq.read_table(mart, columns=list(DECISION_OUTCOMES.names))), end - window, end)
    if not decisions.num_rows:
        raise NotReadyError(
            f"No decision of the {window.days} days before {end.isoformat()} has a mature label, so nothing can be learned. Wait, or run a later day."
        )
    print(f"{decisions.num_rows:,} decisions since {(end - window).date()} with a mature label; joining the features known at each.")
    frame = platform.features.training_frame(keys(decisions))
    missing = float(frame[[*_MEMBER_TEXTS, *MEMBER_NUMERIC]].isna().all(axis=1).mean())
    if missing == 1.0:
        raise DataError(
            f"None of the {decisions.num_rows:,} decisions has features that were known at its instant, so a model would learn from blanks. "
            "Check that event_timestamp and created_timestamp of member_features lie before the decisions and within the feature TTL."
        )
    path = settings.run_dir(day.isoformat()) / "training_set.parquet"
    write(attach(decisions, frame), path)
    mature = {label.value: decisions.num_rows - decisions[label.value].null_count for label in Label}
    print(f"{path.name}: {decisions.num_rows:,} rows, {missing:.1%} without member features; mature labels: {mature}.")
    return TrainingSetReport(decisions.num_rows, missing, mature, path)


def taken(decisions: pa.Table) -> pa.Table:
    """Decisions that somebody took. The service's fallbacks were forced by what was missing, not drawn by a policy: nobody can learn or be judged from them."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return decisions.filter(pc.not_equal(decisions["assignment_group"], pa.scalar(FALLBACK, pa.string())))


def as_known(decisions: pa.Table, since: datetime, end: datetime) -> pa.Table:
    """Decisions in [since, end) as they were known at `end`, by time and id; labels mature after `end` become NULL, rows without any label go."""
    import pyarrow as pa
    import pyarrow.compute as pc

    at, instant = decisions["decided_at"], pa.scalar(end, decisions.schema.field("decided_at").type)
    decisions = decisions.filter(pc.and_(pc.greater_equal(at, pa.scalar(since, instant.type)), pc.less(at, instant)))
    any_label = pa.chunked_array([pa.array([False] * decisions.num_rows, type=pa.bool_())])
    for name in OUTCOME_WINDOWS:
        mature = pc.less_equal(decisions[f"{name}_matured_at"], pa.scalar(end, decisions[f"{name}_matured_at"].type))
        for column in (name, VALUE) if name == Label.CONVERTED else (name,):
            known = pc.if_else(mature, decisions[column], pa.scalar(None, decisions[column].type))
            decisions = decisions.set_column(decisions.column_names.index(column), column, known)
        any_label = any_label if name == DISMISSED else pc.or_(any_label, pc.is_valid(decisions[name]))
    limit = pa.scalar(end, decisions["as_of"].type)
    as_of = pc.if_else(pc.less(decisions["as_of"], limit), decisions["as_of"], limit)
    decisions = decisions.set_column(decisions.column_names.index("as_of"), "as_of", as_of)
    return decisions.filter(any_label).sort_by([("decided_at", "ascending"), ("decision_id", "ascending")])


def keys(decisions: pa.Table) -> pd.DataFrame:
    """What the point-in-time join needs of each decision, in the same order."""
    frame: pd.DataFrame = decisions.select(["member_id", "arm_id", "decided_at"]).to_pandas()
    frame["decided_at"] = pd.to_datetime(frame["decided_at"], utc=True)
    return frame.rename(columns={"decided_at": "event_timestamp"})


def attach(decisions: pa.Table, frame: pd.DataFrame) -> pa.Table:
    """`decisions` with `event_timestamp` and the features of `frame`, row by row, in a fixed schema."""
    import pyarrow as pa

    decisions = decisions.append_column("event_timestamp", decisions["decided_at"])
    columns = [(name, pa.string()) for name in _MEMBER_TEXTS] + [(name, pa.float64()) for name in MEMBER_NUMERIC]
    columns += [(f"arm_{c.name}", pa.string() if c.type is Type.TEXT else pa.float64()) for c in _ARM]
    for name, kind in columns:
        decisions = decisions.append_column(name, pa.array(frame[name], type=kind, from_pandas=True))
    return decisions.replace_schema_metadata(None)


def write(table: pa.Table, path: Path) -> None:
    """Write Parquet aside, then rename, so that a reader never sees half of it."""
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    pq.write_table(table, aside, compression="zstd")
    aside.replace(path)
