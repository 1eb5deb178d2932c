"""Validate: the quality gate. A day that breaks a critical expectation stops here and never reaches the feature store."""

from __future__ import annotations

from datetime import date

from training.adapters.ports import Expectation, Platform, QualityReport
from training.config.settings import Settings
from training.domain.errors import QualityError


def run(day: date, settings: Settings, platform: Platform) -> QualityReport:
    """Check the marts of `day`; warnings are printed, and a critical failure raises QualityError that names each one."""
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
            "so the day does not reach the feature store and no model learns from it:\n"
            f"{told}\nThe rows are shown in {page}. Correct what landed, then rerun from `land`; a rerun without new data fails again."
        )
    return report


def describe(expectation: Expectation) -> str:
    """One line: how grave, which expectation, where, how many rows and which values."""
    grave = "CRITICAL" if expectation.critical else "WARNING"
    where = f"{expectation.table}.{expectation.column}" if expectation.column else expectation.table
    samples = f"; samples: {', '.join(expectation.samples)}" if expectation.samples else ""
    return f"{grave} {expectation.name} on {where}: {expectation.unexpected} unexpected row(s){samples}"
