"""The transform step on the fake warehouse."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

import pytest

from tests.fakes.warehouse import FakeWarehouse
from training.adapters.ports import Platform, Warehouse
from training.config.settings import Settings
from training.domain.errors import StepError
from training.steps import transform

DAY = date(2026, 3, 1)


def platform(warehouse: Warehouse) -> Platform:
    """A platform of which this step uses the warehouse only."""
    nothing = cast("Any", None)
    return Platform(nothing, warehouse, nothing, nothing, nothing, nothing, nothing)


def test_it_builds_the_day_and_says_what_was_built(tmp_path, capsys):
    """The log tells models, tests and the invocation for lineage."""
    warehouse = FakeWarehouse()
    report = transform.run(DAY, Settings(home=tmp_path), platform(warehouse))
    assert warehouse.built == [DAY]
    assert report.invocation_id == "fake-2026-03-01"
    assert "1 models and passed 1 tests" in capsys.readouterr().out


def test_the_warehouse_says_why_it_failed(tmp_path):
    """Its own text reaches the caller unchanged."""
    with pytest.raises(StepError, match="^model x: division by zero$"):
        transform.run(DAY, Settings(home=tmp_path), platform(FakeWarehouse(broken="model x: division by zero")))
