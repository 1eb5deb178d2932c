"""Validate: the quality gate. Marts that break a critical expectation stop here; only those that pass are published to their readers."""

from __future__ import annotations

from datetime import date

from training.adapters.ports import Expectation, Platform, QualityReport
from training.config.settings import Settings
from training.domain.errors import QualityError


def run(day: date, settings: Settings, platform: Platform) -> QualityReport:
    """Check what was built for `day` and every day since the last published one, and publish it. A rerun does the same again.

    Warnings are printed. A critical failure raises QualityError that names each one, and what was published before remains.
    """
    report = platform.quality.validate(day)
    failed = [e for e in report.expectations if not e.passed]
    for expectation in failed:
        print(describe(expectation), flush=True)
    page = report.page or settings.data_docs
    print(f"{len(report.expectations)} expectations for {day.isoformat()}, {len(failed)} not met, {len(report.failures)} critical; page: {page}", flush=True)
    if report.failures:
        told = "\n".join(describe(e) for e in report.failures)
        raise QualityError(
            f"{len(report.failures)} critical expectation(s) failed for {day.isoformat()}, "
            "so nothing of it is published: it does not reach the feature store and no model learns from it:\n"
            f"{told}\nThe rows are shown in {page}. Correct what landed, then rerun from `land`; a rerun without new data fails again."
        )
    platform.warehouse.publish()
    print(f"Published the marts to {settings.marts}.", flush=True)
    return report


def describe(expectation: Expectation) -> str:
    """One line: how grave, which expectation, where, how many rows and which values."""
    grave = "CRITICAL" if expectation.critical else "WARNING"
    where = f"{expectation.table}.{expectation.column}" if expectation.column else expectation.table
    samples = f"; samples: {', '.join(expectation.samples)}" if expectation.samples else ""
    return f"{grave} {expectation.name} on {where}: {expectation.unexpected} unexpected row(s){samples}"
