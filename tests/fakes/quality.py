"""A quality gate that answers with the expectations that it was given."""

from __future__ import annotations

from datetime import date
from pathlib import Path

from training.adapters.ports import Expectation, QualityReport


class FakeQualityGate:
    """The contract of `ports.QualityGate`: the same results each day."""

    def __init__(self, expectations: tuple[Expectation, ...] = (), page: Path | None = None) -> None:
        self.expectations = expectations
        self.page = page
        self.validated: list[date] = []

    def validate(self, day: date) -> QualityReport:
        """The given expectations."""
        self.validated.append(day)
        return QualityReport(self.expectations, self.page)
