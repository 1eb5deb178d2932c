"""The quality gate: Great Expectations on what dbt exported. It reads data frames, because Great Expectations cannot read DuckDB."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.adapters.expectations_schema import checks, drift, volume
from training.adapters.expectations_suites import Suite, mature_labels, summary
from training.adapters.parquet import days_in
from training.adapters.ports import QualityReport
from training.config.settings import Settings
from training.domain.errors import NotReadyError
from training.domain.labels import OUTCOME_WINDOWS
from training.domain.schema import ARM_FEATURES, DECISION_OUTCOMES, GUARDRAIL_DAILY, MEMBER_FEATURES, Table

FEATURE_DAYS = 7
"""At most so many feature days are looked at, the newest: the cost must not grow with history."""
DECISION_DAYS = 35
"""Decisions of so many days are looked at: the slowest label is mature after 28, and rates of immature ones say nothing."""
USUAL_DAYS = 7
"""The week that tells how many decisions a day usually has, and how far back a published day counts as what features usually look like."""
LABELS = [column for name in OUTCOME_WINDOWS for column in (name, f"{name}_matured_at")]
_ONE = timedelta(days=1)


class ExpectationsGate:
    """Checks the candidate against `domain.schema` and against what was published before. All imports of Great Expectations happen on use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def validate(self, day: date) -> QualityReport:
        """Every expectation with its result, and the HTML page that shows them (`data_docs/DAY/index.html`).

        Looked at are the features of `day` and of every day since the last published one, up to the newest of the candidate and at most
        FEATURE_DAYS of these: publishing publishes them all, so a rejected day is checked again with the next. Decisions: DECISION_DAYS.
        Raises NotReadyError where a mart was never exported or does not reach `day`.
        """
        from training.adapters.expectations_run import run_suites

        newest = max(days_in(self._candidate(MEMBER_FEATURES, day)), default=None)
        if newest is None or newest < day:
            raise NotReadyError(f"The marts in {self._settings.candidate} do not reach {day.isoformat()}. Run `transform` for {day.isoformat()} first.")
        days = self._days(day, newest)
        suites = [*self._contracts(days), *self._decisions(days)]
        for table in (MEMBER_FEATURES, ARM_FEATURES):
            suites += [self._drift(table, when, warn=when == days[-1]) for when in days]
        return run_suites(suites, day, self._settings.data_docs)

    def _days(self, day: date, newest: date) -> list[date]:
        there = days_in(self._candidate(MEMBER_FEATURES, day))
        published = max(self._published(MEMBER_FEATURES), default=date.min)
        first = max(min(day, published + _ONE), newest - (FEATURE_DAYS - 1) * _ONE)
        return [when for when in there if when >= first or when == day]

    def _contracts(self, days: list[date]) -> list[Suite]:
        recent = [days[-1] - k * _ONE for k in range(DECISION_DAYS)]
        looked_at = {MEMBER_FEATURES: days, ARM_FEATURES: days, DECISION_OUTCOMES: recent, GUARDRAIL_DAILY: recent}
        return [Suite(table.name, table, self._rows(table, when), checks(table)) for table, when in looked_at.items()]

    def _decisions(self, days: list[date]) -> list[Suite]:
        """How many decisions each day has, and whether mature labels have any answer."""
        week = [days[0] - k * _ONE for k in range(USUAL_DAYS + 1)]
        asked = sorted({*week, *days, *(days[-1] - k * _ONE for k in range(DECISION_DAYS))})
        rows = _read(self._candidate(DECISION_OUTCOMES, days[-1]), asked, ["day", "as_of", *LABELS])
        suites = []
        for day in days:
            usual = float(rows["day"].between(day - USUAL_DAYS * _ONE, day - _ONE).sum()) / USUAL_DAYS
            suites.append(Suite(f"decision_outcomes on {day.isoformat()}", DECISION_OUTCOMES, rows[rows["day"] == day], volume(usual)))
        mature, wanted = mature_labels(rows[rows["day"] > days[-1] - DECISION_DAYS * _ONE])
        return [*suites, Suite("decision_outcomes, mature labels", DECISION_OUTCOMES, mature, wanted)]

    def _drift(self, table: Table, day: date, *, warn: bool) -> Suite:
        """`day` against the last published day of the week before it, or where none is against the day before it; an older day's warnings are old news."""
        published = [when for when in self._published(table) if day - USUAL_DAYS * _ONE <= when < day]
        file = self._settings.marts / f"{table.name}.parquet" if published else self._candidate(table, day)
        before = _read(file, [max(published, default=day - _ONE)])
        wanted = [check for check in drift(table, summary(before)) if warn or check.critical]
        return Suite(f"{table.name} on {day.isoformat()}", table, self._rows(table, [day]), wanted)

    def _published(self, table: Table) -> tuple[date, ...]:
        return days_in(self._settings.marts / f"{table.name}.parquet")

    def _rows(self, table: Table, days: list[date]) -> pd.DataFrame:
        return _read(self._candidate(table, days[-1]), days)

    def _candidate(self, table: Table, day: date) -> Path:
        file = self._settings.candidate / f"{table.name}.parquet"
        if not file.is_file():
            raise NotReadyError(f"There is no {file.name} in {file.parent}: nothing can be validated. Run `transform` for {day.isoformat()} first.")
        return file


def _read(file: Path, days: list[date], columns: list[str] | None = None) -> pd.DataFrame:
    """Rows of these days. A list becomes its length, NULL stays NULL: Great Expectations pickles the frame, and 50,000 lists cost a second."""
    found = pq.read_table(file, columns=columns, filters=[("day", "in", days)])
    for i, column in enumerate(found.schema):
        if pa.types.is_list(column.type):
            found = found.set_column(i, column.name, pc.list_value_length(found[column.name]))
    rows: pd.DataFrame = found.to_pandas()
    return rows
