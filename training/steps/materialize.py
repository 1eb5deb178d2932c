"""`materialize`: bring the online store up to the end of the day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from training.adapters.ports import Platform
from training.config.settings import Settings


@dataclass(frozen=True)
class MaterializeReport:
    """`rows` written to the online store (0 where a later day is already there), valid at `until`."""

    until: datetime
    rows: int


def run(day: date, settings: Settings, platform: Platform) -> MaterializeReport:
    """Register the definitions and serve what is known at the end of `day`. A rerun writes the same rows; an earlier day writes none.

    Raises NotReadyError if the feature marts were not exported.
    """
    del settings
    until = datetime.combine(day + timedelta(days=1), time(), UTC)
    platform.features.apply()
    rows = platform.features.materialize(until)
    print(f"Online store: {rows:,} rows as of {until.isoformat()}.")
    return MaterializeReport(until, rows)
