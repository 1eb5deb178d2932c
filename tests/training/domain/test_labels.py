"""The windows by hand."""

from datetime import UTC, datetime

from training.domain.labels import DISMISSED, OUTCOME_WINDOWS, WINDOWS
from training.domain.nouns import Label


def test_maturity_by_hand():
    """A decision of 5 January 09:00 has its 28-day label on 2 February 09:00 and its click label on 6 January 09:00."""
    at = datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert WINDOWS[Label.RETAINED].matured_at(at) == datetime(2026, 2, 2, 9, tzinfo=UTC)
    assert WINDOWS[Label.CLICKED].matured_at(at) == datetime(2026, 1, 6, 9, tzinfo=UTC)


def test_dismissals_are_judged_and_not_learned():
    """`dismissed` has a window, 7 days, and is no Label, from which heads are made."""
    assert set(OUTCOME_WINDOWS) - set(WINDOWS) == {DISMISSED}
    assert OUTCOME_WINDOWS[DISMISSED].closes.days == 7
    assert DISMISSED not in set(Label)


def test_retention_covers_seven_days():
    """Days 22 to 28 are seven days long."""
    window = WINDOWS[Label.RETAINED]
    assert (window.closes - window.opens).days == 7
