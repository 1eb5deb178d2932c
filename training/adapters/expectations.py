"""The quality gate: Great Expectations on the exported marts. It reads data frames, because Great Expectations cannot read DuckDB."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import pandas as pd
import pyarrow.parquet as pq

from training.adapters.expectations_schema import Check, Yesterday, checks
from training.adapters.ports import QualityReport
from training.config.settings import Settings
from training.domain.errors import NotReadyError
from training.domain.schema import ARM_FEATURES, DECISION_OUTCOMES, GUARDRAIL_DAILY, MEMBER_FEATURES, Table

_DAYS: Mapping[str, int] = {MEMBER_FEATURES.name: 1, ARM_FEATURES.name: 1, DECISION_OUTCOMES.name: 7, GUARDRAIL_DAILY.name: 7}
"""Days of each mart that are looked at, the last being the day itself: what the day wrote, at a cost that does not grow with history."""
_DRIFTING = (MEMBER_FEATURES.name, ARM_FEATURES.name)
"""Marts of one row a member or arm each day; decisions follow the week, so their number says nothing by itself."""


class ExpectationsGate:
    """Checks the marts of a day against `domain.schema` and against the day before. All imports of Great Expectations happen on use."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def validate(self, day: date) -> QualityReport:
        """Every expectation with its result, and the HTML page that shows them (`data_docs/DAY/index.html`).

        Raises NotReadyError where a mart was never exported.
        """
        from training.adapters.expectations_run import run_suites

        suites = {table.name: self._suite(table, day) for table in (MEMBER_FEATURES, ARM_FEATURES, DECISION_OUTCOMES, GUARDRAIL_DAILY)}
        return run_suites(suites, day, self._settings.data_docs)

    def _suite(self, table: Table, day: date) -> tuple[pd.DataFrame, list[Check]]:
        first = day - timedelta(days=_DAYS[table.name] - 1)
        rows = self._rows(table, first, day)
        before = self._rows(table, day - timedelta(days=1), day - timedelta(days=1)) if table.name in _DRIFTING else None
        return rows, checks(table, None if before is None else summary(before))

    def _rows(self, table: Table, first: date, last: date) -> pd.DataFrame:
        file = self._settings.marts / f"{table.name}.parquet"
        if not file.is_file():
            raise NotReadyError(f"There is no {file.name} in {file.parent}: nothing can be validated. Run `transform` for {last.isoformat()} first.")
        rows: pd.DataFrame = pq.read_table(file, filters=[("day", ">=", first), ("day", "<=", last)]).to_pandas()
        return rows


def summary(rows: pd.DataFrame) -> Yesterday:
    """Number of rows and share of values that are not NULL, by column."""
    return Yesterday(len(rows), {str(name): float(share) for name, share in rows.notna().mean().fillna(0.0).items()})
