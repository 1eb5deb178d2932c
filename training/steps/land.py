"""Land: what sources left in the inbox is validated together and copied into raw, whole or not at all."""

from __future__ import annotations

from datetime import date

from training.adapters.ports import LandingReport, Platform
from training.config.settings import Settings


def run(day: date, settings: Settings, platform: Platform) -> LandingReport:
    """Land every new or changed day up to `day`, and say which day is the newest that has landed. A rerun finds nothing new and changes nothing.

    Raises LandingError that lists each broken rule, NotReadyError if there is no data at all.
    """
    report = platform.landing.land(day)
    if not report.days:
        print(f"Nothing new up to {day.isoformat()}: {settings.raw} is as it was.", flush=True)
        return report
    counts = ", ".join(f"{rows:,} {table}" for table, rows in report.rows.items())
    print(f"Landed {len(report.days)} day(s), {report.days[0].isoformat()} to {report.days[-1].isoformat()}: {counts}.", flush=True)
    return report
