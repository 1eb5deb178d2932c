"""Transform: dbt builds features and outcomes as they were known at the end of the day, tests them and exports the marts."""

from __future__ import annotations

from datetime import date

from training.adapters.ports import BuildReport, Platform
from training.config.settings import Settings


def run(day: date, settings: Settings, platform: Platform) -> BuildReport:
    """Build everything landed up to `day`, and the days since that any landed file changed; where a later day is built already, it stays.

    Raises NotReadyError where nothing of `day` has landed, DataError with the rows that a test refuses, StepError with dbt's own message; the
    marts of the last good build then remain.
    """
    print(f"dbt builds {day.isoformat()} from {settings.raw}", flush=True)
    report = platform.warehouse.build(day)
    told = f"dbt built {report.models} models and passed {report.tests} tests in {report.seconds:.1f} s, as of the end of {report.until.isoformat()}"
    print(f"{told} (invocation {report.invocation_id})", flush=True)
    return report
