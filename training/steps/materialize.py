"""`materialize`: bring the online store up to the end of the day, or of the newest published one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from training.adapters.parquet import days_in
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.schema import MEMBER_FEATURES


@dataclass(frozen=True)
class MaterializeReport:
    """`rows` written to the online store, valid at `until`."""

    until: datetime
    rows: int


def run(day: date, settings: Settings, platform: Platform) -> MaterializeReport:
    """Register the definitions and serve what is known at the end of `day`, or of the newest published day where that is later.

    So a run for an old day brings its corrections online too, and never takes today's features away; a rerun writes the same rows.
    Raises NotReadyError if the feature marts were not published.
    """
    newest = max(days_in(settings.marts / f"{MEMBER_FEATURES.name}.parquet"), default=day)
    until = datetime.combine(max(day, newest) + timedelta(days=1), time(), UTC)
    platform.features.apply()
    rows = platform.features.materialize(until)
    print(f"Online store: {rows:,} rows as of {until.isoformat()}.")
    return MaterializeReport(until, rows)
