"""The validate step on the fake gate: what blocks, what warns, what is said."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

import pytest

from tests.fakes.quality import FakeQualityGate
from tests.fakes.warehouse import FakeWarehouse
from training.adapters.ports import Expectation, Platform, QualityGate, Warehouse
from training.config.settings import Settings
from training.domain.errors import QualityError
from training.steps import validate

DAY = date(2026, 3, 1)
GOOD = Expectation("expect_a", "member_features", "member_id", critical=True, passed=True)
WARNING = Expectation("expect_b", "arm_features", "", critical=False, passed=False, samples=("observed 3",))
BAD = Expectation("expect_c", "member_features", "visits_7d", critical=True, passed=False, unexpected=2, samples=("-1.0", "-5.0"))


@pytest.fixture
def warehouse():
    """A warehouse that has built the day and published nothing."""
    warehouse = FakeWarehouse()
    warehouse.build(DAY)
    return warehouse


def platform(gate: QualityGate, warehouse: Warehouse) -> Platform:
    """A platform of which this step uses the gate and the warehouse."""
    nothing = cast("Any", None)
    return Platform(nothing, warehouse, gate, nothing, nothing, nothing, nothing)


def test_a_warning_is_said_and_does_not_block(tmp_path, warehouse, capsys):
    """The report is returned; the log names table, expectation and what was observed."""
    report = validate.run(DAY, Settings(home=tmp_path), platform(FakeQualityGate((GOOD, WARNING)), warehouse))
    assert report.failures == ()
    assert warehouse.published == [DAY]
    out = capsys.readouterr().out
    assert "WARNING expect_b on arm_features: 0 unexpected row(s); samples: observed 3" in out
    assert "2 expectations for 2026-03-01, 1 not met, 0 critical" in out


def test_a_critical_failure_blocks_and_names_column_count_and_samples(tmp_path, warehouse, capsys):
    """In the log and in the error; the expectations that passed are in neither, and nothing is published."""
    page = tmp_path / "page.html"
    with pytest.raises(QualityError) as caught:
        validate.run(DAY, Settings(home=tmp_path), platform(FakeQualityGate((GOOD, WARNING, BAD), page), warehouse))
    assert warehouse.published == []
    line = "CRITICAL expect_c on member_features.visits_7d: 2 unexpected row(s); samples: -1.0, -5.0"
    assert line in str(caught.value)
    assert str(page) in str(caught.value)
    assert "expect_b" not in str(caught.value)
    assert line in capsys.readouterr().out
