"""The quality gate on small marts: a good day, and one with each kind of poison."""

from __future__ import annotations

import re
from typing import Any, cast
from urllib.parse import unquote

import pytest

from tests.fakes.marts import DAY, decision, marts, members, write
from tests.fakes.warehouse import FakeWarehouse
from training.adapters.expectations import ExpectationsGate
from training.adapters.expectations_schema import Summary, checks, drift, volume
from training.adapters.expectations_suites import summary
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.errors import NotReadyError, QualityError
from training.domain.schema import ARM_FEATURES, DECISION_OUTCOMES, GUARDRAIL_DAILY, MARTS, MEMBER_FEATURES
from training.steps import validate


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Settings and report of the good day."""
    settings = Settings(home=tmp_path_factory.mktemp("good"))
    write(settings, marts())
    return settings, ExpectationsGate(settings).validate(DAY)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """Settings and report: two negative counts, a repeated decision, an impossible propensity, an unknown surface, and ten times the members."""
    settings = Settings(home=tmp_path_factory.mktemp("poisoned"))
    rows = marts()
    rows["member_features"] += members(DAY, 40)[4:]
    for row, value in zip(rows["member_features"][4:6], (-1.0, -7.0), strict=True):
        row["visits_7d"] = value
    rows["decision_outcomes"] = [decision("d1"), decision("d1"), decision("d3", propensity=0.0), decision("d4", surface="fax")]
    write(settings, rows)
    return settings, ExpectationsGate(settings).validate(DAY)


def failed(report, table, column):
    """The failed expectations on a column, by name."""
    return {e.name: e for e in report.expectations if not e.passed and (e.table, e.column) == (table, column)}


def test_a_good_day_passes(good):
    """Everything holds; each mart was looked at; the result has a page that the front page lists."""
    settings, report = good
    assert [e for e in report.expectations if not e.passed] == []
    assert {e.table for e in report.expectations} == set(MARTS)
    assert report.page == settings.data_docs / "2026-03-01" / "index.html"
    assert "html" in report.page.read_text(encoding="utf-8").lower()
    assert 'href="2026-03-01/index.html"' in (settings.data_docs / "index.html").read_text(encoding="utf-8")
    assert [f.name for f in settings.data_docs.iterdir() if f.name.startswith(".")] == []


def test_a_poisoned_count_is_told_with_column_number_and_samples(poisoned):
    """Two rows below zero, and these values."""
    _, report = poisoned
    found = failed(report, "member_features", "visits_7d")["expect_column_values_to_be_between"]
    assert (found.critical, found.unexpected, set(found.samples)) == (True, 2, {"-1.0", "-7.0"})


def test_keys_propensities_and_closed_sets_are_critical(poisoned):
    """Each of the three, by the expectation that names it."""
    _, report = poisoned
    wrong = {(e.name, e.column) for e in report.failures if e.table == "decision_outcomes"}
    assert wrong == {
        ("expect_column_values_to_be_unique", "decision_id"),
        ("expect_column_values_to_be_between", "propensity"),
        ("expect_column_values_to_be_in_set", "surface"),
    }
    assert failed(report, "decision_outcomes", "surface")["expect_column_values_to_be_in_set"].samples == ("fax",)


def test_a_changed_volume_is_a_warning(poisoned):
    """Ten times as many members as the day before: said, not blocked."""
    _, report = poisoned
    found = failed(report, "member_features", "")["expect_table_row_count_to_be_between"]
    assert (found.critical, found.samples) == (False, ("observed 40",))


def test_the_step_blocks_and_names_what_failed(poisoned, capsys):
    """QualityError and log carry expectation, column, count and samples; the page shows the poisoned column."""
    settings, _ = poisoned
    nothing = cast("Any", None)
    with pytest.raises(QualityError, match="CRITICAL expect_column_values_to_be_between on member_features.visits_7d: 2 unexpected"):
        validate.run(DAY, settings, Platform(nothing, FakeWarehouse(), ExpectationsGate(settings), nothing, nothing, nothing, nothing))
    assert "samples: -1.0, -7.0" in capsys.readouterr().out
    front = (settings.data_docs / "2026-03-01" / "index.html").read_text(encoding="utf-8")
    assert "visits_7d" in front
    assert "-7.0" in front
    links = [unquote(link) for link in re.findall(r'href="(validations/[^"]+)"', front)]
    assert links
    assert all((settings.data_docs / "2026-03-01" / link).is_file() for link in links)
    pages = [f.read_text(encoding="utf-8") for f in (settings.data_docs / "2026-03-01" / "validations").rglob("*.html")]
    assert any("visits_7d" in page and "-7.0" in page for page in pages)


def test_without_marts_nothing_is_validated(tmp_path):
    """The error says which step is missing."""
    with pytest.raises(NotReadyError, match="Run `transform` for 2026-03-01 first"):
        ExpectationsGate(Settings(home=tmp_path)).validate(DAY)


@pytest.mark.parametrize("table", list(MARTS.values()), ids=list(MARTS))
def test_checks_follow_the_schema(table):
    """Columns in order, the key unique, every column that may not be NULL checked, all of it critical."""
    found = checks(table)
    shape = next(c for c in found if c.kind == "ExpectTableColumnsToMatchOrderedList")
    assert shape.arguments == {"column_list": list(table.names)}
    not_null = {c.arguments["column"] for c in found if c.kind == "ExpectColumnValuesToNotBeNull" and c.critical}
    assert not_null == {c.name for c in table.columns if not c.nullable}
    sets = {c.arguments["column"]: c.arguments["value_set"] for c in found if c.kind == "ExpectColumnValuesToBeInSet"}
    assert sets == {c.name: list(c.values) for c in table.columns if c.values}


def test_a_day_without_members_blocks_and_one_without_decisions_warns():
    """Features exist each day, decisions need not."""
    critical = {t.name: next(c.critical for c in checks(t) if c.kind == "ExpectTableRowCountToBeBetween") for t in MARTS.values()}
    assert critical == {MEMBER_FEATURES.name: True, ARM_FEATURES.name: True, DECISION_OUTCOMES.name: False, GUARDRAIL_DAILY.name: False}


def test_drift_is_measured_against_yesterday():
    """100 rows yesterday allow 50 to 151; of a column filled to 0.9, below 0.7 is odd and below 0.45 blocks; one filled to 0.1 is not watched."""
    found = drift(ARM_FEATURES, Summary(100, {"product_id": 0.9, "creative_id": 0.1}))
    assert [(dict(c.arguments), c.critical) for c in found] == [
        ({"min_value": 50, "max_value": 151}, False),
        ({"column": "product_id", "mostly": 0.7}, False),
        ({"column": "product_id", "mostly": 0.45}, True),
    ]
    assert drift(ARM_FEATURES, Summary(0, {})) == []


def test_a_day_needs_half_of_the_usual_decisions():
    """Of 9 a day at least 5; where decisions are rare still one."""
    assert [c.arguments["min_value"] for usual in (9.0, 0.2, 0.0) for c in volume(usual)] == [5, 1, 1]


def test_a_summary_counts_rows_and_filled_shares(good):
    """Four rows, all with a country, none with a region."""
    settings, _ = good
    before = summary(ExpectationsGate(settings)._rows(MEMBER_FEATURES, [DAY]))
    assert (before.rows, before.filled["country"], before.filled["region"]) == (4, 1.0, 0.0)
