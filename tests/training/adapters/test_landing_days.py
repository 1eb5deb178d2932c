"""What a row may know: nothing after the day of its file, and no row that lands later than itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from tests.fakes.landing import good_day, write_rows, write_tables
from training.adapters.landing import FileLanding
from training.config.settings import ROOT, Settings
from training.domain.errors import LandingError

FIRST, SECOND = date(2026, 1, 5), date(2026, 1, 6)
MIDNIGHT = datetime(2026, 1, 6, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path):
    """A home with two good days in its inbox."""
    settings = Settings(home=tmp_path, catalog=ROOT / "dbt" / "seeds" / "simulated")
    for day in (FIRST, SECOND):
        write_tables(settings.inbox, day, good_day(day))
    return settings


def corrupt(settings, table, **change):
    """Change the first row of `table` on the first day."""
    rows = good_day(FIRST)[table]
    rows[0] |= change
    write_rows(settings.inbox, table, FIRST, rows)


@pytest.mark.parametrize(
    ("table", "column"),
    [("members", "signup_at"), ("members", "updated_at"), ("activity", "occurred_at"), ("decisions", "decided_at"), ("outcomes", "occurred_at")],
)
def test_no_time_lies_after_the_day_of_its_file(settings, table, column):
    """The last microsecond of the day lands, the midnight that ends it does not: in every column that holds a time."""
    corrupt(settings, table, **{column: MIDNIGHT})
    with pytest.raises(LandingError, match=f"{table}: {column} lies after the day of its file"):
        FileLanding(settings).land(FIRST)
    if table == "decisions":
        write_rows(settings.inbox, "outcomes", FIRST, good_day(FIRST)["outcomes"][1:])  # its outcome would come before it
    corrupt(settings, table, **{column: MIDNIGHT - timedelta(microseconds=1)})
    assert FileLanding(settings).land(FIRST).days == (FIRST,)


LATER = {"activity": ("member_id", f"m{SECOND}-0"), "decisions": ("member_id", f"m{SECOND}-0"), "outcomes": ("decision_id", f"d-m{SECOND}-0")}


@pytest.mark.parametrize("until", [SECOND, FIRST], ids=["one batch", "day by day"])
@pytest.mark.parametrize("table", sorted(LATER))
def test_what_a_row_refers_to_has_landed_by_its_day(settings, table, until):
    """A backlog is refused for the same row as its days one by one: the row would belong to nobody on its own day."""
    column, later = LATER[table]
    corrupt(settings, table, **{column: later})
    with pytest.raises(LandingError, match=rf"{table}: {column} is not in \w+ of the same day or before \({table}/day=2026-01-05/part.parquet; 1 row"):
        FileLanding(settings).land(until)


def test_a_row_may_refer_to_what_landed_before_it(settings):
    """A member of the first day visits on the second, in one batch with it."""
    visit = {"event_id": "again", "member_id": f"m{FIRST}-0", "kind": "visit", "occurred_at": MIDNIGHT}
    write_rows(settings.inbox, "activity", SECOND, [visit])
    assert FileLanding(settings).land(SECOND).days == (FIRST, SECOND)


def test_the_newest_landed_day_is_told_whatever_is_asked(settings):
    """By it a schedule knows whether the data have reached its day: new rows or not, this day or an older one."""
    zone = FileLanding(settings)
    assert [zone.land(day).newest for day in (FIRST, SECOND, SECOND, FIRST)] == [FIRST, SECOND, SECOND, SECOND]
    assert zone.land(date(2026, 3, 1)).newest == SECOND
