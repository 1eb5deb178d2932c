"""A warehouse that only remembers the days that it was asked to build."""

from __future__ import annotations

from datetime import date

from training.adapters.ports import BuildReport
from training.domain.errors import StepError


class FakeWarehouse:
    """The contract of `ports.Warehouse`; with `broken` each build raises StepError with that text."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.built: list[date] = []

    def build(self, day: date) -> BuildReport:
        """One model and one test, in no time."""
        if self.broken:
            raise StepError(self.broken)
        self.built.append(day)
        return BuildReport(until=max(self.built), invocation_id=f"fake-{day.isoformat()}", models=1, tests=1, seconds=0.0)
