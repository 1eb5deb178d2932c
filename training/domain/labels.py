"""Label windows: when a label may happen and when it is mature. Everything that speaks of a window reads it here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from training.domain.nouns import Label


@dataclass(frozen=True)
class Window:
    """A label is true if its event falls in [decided_at + opens, decided_at + closes); it is mature at decided_at + closes."""

    opens: timedelta
    closes: timedelta

    def matured_at(self, decided_at: datetime) -> datetime:
        """First instant at which the label can no longer change."""
        return decided_at + self.closes


WINDOWS: dict[Label, Window] = {
    Label.CLICKED: Window(timedelta(0), timedelta(days=1)),
    Label.CONVERTED: Window(timedelta(0), timedelta(days=14)),
    Label.VISITED: Window(timedelta(0), timedelta(days=14)),
    Label.RETAINED: Window(timedelta(days=21), timedelta(days=28)),
    Label.OPTED_OUT: Window(timedelta(0), timedelta(days=7)),
}
"""Retained: active in days 22 to 28 after the decision, that is from 21 x 24 h to 28 x 24 h after it."""

DISMISSED = "dismissed"
VALUE = "conversion_value"
"""What conversions are worth, in money: the one metric that is no label. Mature with them."""
OUTCOME_WINDOWS: dict[str, Window] = {**{label.value: window for label, window in WINDOWS.items()}, DISMISSED: Window(timedelta(0), timedelta(days=7))}
"""Every true-or-false column of `decision_outcomes`: what is learned, and `dismissed`, by which a challenger is judged but which no model learns."""
