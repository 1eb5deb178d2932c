"""Which rows the gate looks at, day after day, and what it lets through to the readers."""

from __future__ import annotations

from typing import Any, cast

import pyarrow.parquet as pq
import pytest

from tests.fakes.marts import DAY, ONE, arms, decision, marts, members, write
from training.adapters.dbt_warehouse import DbtWarehouse
from training.adapters.expectations import ExpectationsGate
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.errors import NotReadyError, QualityError
from training.domain.labels import OUTCOME_WINDOWS
from training.domain.schema import DECISION_OUTCOMES, MARTS
from training.steps import validate


@pytest.fixture
def settings(tmp_path):
    """A home whose good days until DAY are published."""
    settings = write(Settings(home=tmp_path), marts())
    run(settings, DAY)
    return settings


def run(settings, day):
    """The step on the real gate and the real publishing."""
    nothing = cast("Any", None)
    return validate.run(day, settings, Platform(nothing, DbtWarehouse(settings), ExpectationsGate(settings), nothing, nothing, nothing, nothing))


def published(settings):
    """Contents of all published files."""
    return {file.name: file.read_bytes() for file in settings.marts.iterdir()}


def visits(settings):
    """Published values of a feature that the tests poison."""
    return pq.read_table(settings.marts / "member_features.parquet")["visits_7d"].to_pylist()


def test_a_good_day_is_published_whole(settings):
    """Each mart as it was exported and nothing else; a second run does the same."""
    assert published(settings) == {f"{name}.parquet": (settings.candidate / f"{name}.parquet").read_bytes() for name in MARTS}
    before = published(settings)
    run(settings, DAY)
    assert published(settings) == before


def test_a_rejected_day_is_not_published_with_the_next(settings):
    """DAY + 1 is poisoned and rejected; DAY + 2 is good and checks both, so it is refused until DAY + 1 is corrected."""
    before = published(settings)
    rows = marts(DAY + ONE, 3)
    rows["member_features"][-1]["visits_7d"] = -7.0
    with pytest.raises(QualityError, match=r"member_features.visits_7d: 1 unexpected row\(s\); samples: -7.0"):
        run(write(settings, rows), DAY + ONE)
    rows["member_features"] += members(DAY + 2 * ONE, 4)
    rows["arm_features"] += arms(DAY + 2 * ONE)
    with pytest.raises(QualityError, match="samples: -7.0"):
        run(write(settings, rows), DAY + 2 * ONE)
    assert published(settings) == before
    run(write(settings, marts(DAY + 2 * ONE, 4)), DAY + 2 * ONE)
    assert visits(settings) == [1.0] * 16


def test_an_older_day_does_not_publish_a_newer_one_unseen(settings):
    """A backfill of DAY validates whatever the candidate holds after it, since publishing publishes all of it."""
    rows = marts(DAY + ONE, 3)
    rows["member_features"][-1]["visits_7d"] = -7.0
    with pytest.raises(QualityError, match="samples: -7.0"):
        run(write(settings, rows), DAY)
    assert -7.0 not in visits(settings)


def test_an_interrupted_publication_is_finished_by_a_rerun(settings):
    """The second file cannot be written; once it can, the same call brings all of them."""
    write(settings, marts(DAY + ONE, 3))
    blocker = settings.marts / ".arm_features.parquet.aside"
    blocker.mkdir()
    with pytest.raises(IsADirectoryError):
        DbtWarehouse(settings).publish()
    blocker.rmdir()
    DbtWarehouse(settings).publish()
    assert published(settings) == {f"{name}.parquet": (settings.candidate / f"{name}.parquet").read_bytes() for name in MARTS}


def test_without_a_whole_candidate_nothing_is_published(settings):
    """The missing mart is named, and the published ones stay."""
    before = published(settings)
    (settings.candidate / "guardrail_daily.parquet").unlink()
    with pytest.raises(NotReadyError, match="guardrail_daily.parquet is not in"):
        DbtWarehouse(settings).publish()
    assert published(settings) == before


def test_a_column_that_empties_is_compared_with_what_was_published(settings):
    """`country` is NULL on DAY + 1 and DAY + 2: against the day before, the second would look as usual."""
    rows = marts()
    for later in (DAY + ONE, DAY + 2 * ONE):
        rows["member_features"] += members(later, 4, country=None)
        rows["arm_features"] += arms(later)
    report = ExpectationsGate(write(settings, rows)).validate(DAY + 2 * ONE)
    found = [(e.name, e.column, e.unexpected) for e in report.failures]
    assert found == [("expect_column_values_to_not_be_null", "country", 4)] * 2


def failed(settings, decisions, day=DAY):
    """Failed expectations on decisions as (name, column, critical)."""
    write(settings, marts(day, 2 + (day - DAY).days) | {"decision_outcomes": decisions})
    report = ExpectationsGate(settings).validate(day)
    return {(e.name, e.column, e.critical) for e in report.expectations if not e.passed and e.table == DECISION_OUTCOMES.name}


def test_labels_are_looked_at_once_they_are_mature(settings):
    """The value of a conversion of 30 days ago; a week ago it would have been NULL."""
    good = [decision(f"g{k}", DAY - k * ONE) for k in range(8)]
    assert failed(settings, good) == set()
    wrong = decision("w", DAY - 30 * ONE, converted=True, conversion_value=-1e9)
    assert failed(settings, [*good, wrong]) == {("expect_column_values_to_be_between", "conversion_value", True)}


@pytest.mark.parametrize("value", [False, None])
def test_a_label_that_nobody_ever_gives_is_a_warning(settings, value):
    """500 mature labels that are all false, or all NULL although they are mature, are said; 499 may be chance."""
    others = [name for name in OUTCOME_WINDOWS if name != "retained"]
    rows = [decision(f"d{k}", DAY - 30 * ONE, retained=value, **dict.fromkeys(others, k == 0)) for k in range(500)]
    recent = [decision(f"g{k}", DAY - k * ONE) for k in range(8)]
    assert failed(settings, rows + recent) == {("expect_column_max_to_be_between", "retained", False)}
    assert failed(settings, rows[:-1] + recent) == set()


def test_few_decisions_are_a_warning_from_the_first_day_on(settings):
    """Four a day for a week: two are enough, one is not, none is not; each unpublished day is counted by itself."""
    usual = [decision(f"u{k}.{n}", DAY - k * ONE) for k in range(1, 8) for n in range(4)]
    few = {("expect_table_row_count_to_be_between", "", False)}
    today = [decision("a"), decision("b")]
    assert failed(settings, usual + today) == set()
    assert failed(settings, usual + today[:1]) == few
    assert failed(settings, usual) == few
    tomorrow = [decision(f"t{n}", DAY + ONE, DAY + ONE) for n in range(4)]
    assert failed(settings, usual + today + tomorrow, DAY + ONE) == set()
    assert failed(settings, usual + today, DAY + ONE) == few


def test_a_day_beyond_the_candidate_is_not_ready(settings):
    """The error says which step is missing."""
    with pytest.raises(NotReadyError, match="do not reach 2026-03-02. Run `transform`"):
        ExpectationsGate(settings).validate(DAY + ONE)
