"""A warehouse that only remembers what it was asked for."""

from __future__ import annotations

from datetime import date

from training.adapters.ports import BuildReport
from training.domain.errors import NotReadyError, StepError


class FakeWarehouse:
    """The contract of `ports.Warehouse`; with `broken` each build raises StepError with that text."""

    def __init__(self, broken: str = "") -> None:
        self.broken = broken
        self.built: list[date] = []
        self.published: list[date] = []

    def build(self, day: date) -> BuildReport:
        """One model and one test, in no time."""
        if self.broken:
            raise StepError(self.broken)
        self.built.append(day)
        return BuildReport(until=max(self.built), invocation_id=f"fake-{day.isoformat()}", models=1, tests=1, seconds=0.0)

    def publish(self) -> None:
        """Remember how far the published marts reach."""
        if not self.built:
            raise NotReadyError("Nothing was built, so there is nothing whole to publish.")
        self.published.append(max(self.built))
