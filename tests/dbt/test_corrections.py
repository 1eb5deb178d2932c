"""Files that come late, change or go: the next build equals a first build of the files as they are now, in every mart, row and column."""

from __future__ import annotations

from copy import deepcopy

import pytest

from tests.fakes.raw import event
from tests.fakes.scattered import LAST, ONE, exported, settled
from training.adapters.dbt_warehouse import DbtWarehouse
from training.domain.errors import DataError
from training.domain.schema import RAW

pytestmark = pytest.mark.slow
OLD = LAST - 30 * ONE


def wrong_values(rows):
    """Other values in partitions of days long built: a propensity, a country, a kind of activity and the money of a conversion."""
    rows["decisions"][3] |= {"propensities": [0.1, 0.9], "propensity": 0.1 if rows["decisions"][3]["chosen_arm"] == "none" else 0.9}
    rows["members"][0] |= {"country": "WRONG"}
    rows["activity"][7] |= {"kind": "hiring"}
    next(row for row in rows["outcomes"] if row["kind"] == "conversion")["value"] = 900.0


def rows_too_many(rows):
    """A decision, its outcomes and a member with all that belongs to it, none of which should have been there."""
    gone = {"decision_id": "d-gone", "member_id": "m-gone"}
    rows["members"].append({**rows["members"][0], "member_id": "m-gone"})
    rows["decisions"] += [{**rows["decisions"][3], **gone}, {**rows["decisions"][4], "decision_id": "d-other"}]
    rows["outcomes"].append({**rows["outcomes"][0], "outcome_id": "o-gone", "decision_id": "d-gone", "occurred_at": rows["decisions"][3]["decided_at"]})
    rows["activity"].append({**event("e-gone", "m-gone", "visit", "2026-01-20 10:00"), "landed": OLD + 20 * ONE})


def partitions_missing(rows):
    """No activity and no outcome of five days in the past had come yet."""
    for table in ("activity", "outcomes"):
        time = RAW[table].time
        rows[table] = [row for row in rows[table] if not OLD <= (row.get("landed") or row[time].date()) < OLD + 5 * ONE]


@pytest.mark.parametrize("before", [wrong_values, rows_too_many, partitions_missing])
def test_a_correction_of_built_days_gives_what_a_first_build_gives(tmp_path, raw, backlog, before):
    """Built with the wrong files until the day before the last, then landed as they should be and built again."""
    wrong = deepcopy(raw)
    before(wrong)
    settings = settled(tmp_path, wrong)
    DbtWarehouse(settings).build(LAST - ONE)
    assert not exported(settings)["member_features"].equals(backlog["member_features"])
    settled(tmp_path, raw)
    DbtWarehouse(settings).build(LAST)
    found = exported(settings)
    assert [name for name in backlog if not found[name].equals(backlog[name])] == []


def test_a_first_build_that_a_test_refuses_can_be_corrected(tmp_path, raw, backlog):
    """An outcome before its decision in an old partition fails the whole backlog; the corrected file is all that is needed."""
    wrong = deepcopy(raw)
    wrong["outcomes"][0]["occurred_at"] = next(d for d in wrong["decisions"] if d["decision_id"] == wrong["outcomes"][0]["decision_id"])["decided_at"] - ONE
    settings = settled(tmp_path, wrong)
    with pytest.raises(DataError, match="no_outcome_before_its_decision"):
        DbtWarehouse(settings).build(LAST)
    settled(tmp_path, raw)
    DbtWarehouse(settings).build(LAST)
    found = exported(settings)
    assert [name for name in backlog if not found[name].equals(backlog[name])] == []


def test_a_backfill_leaves_the_marts_as_they_are(built, backlog):
    """An old day asked for again after a later one, with the same files: every byte of every mart stays."""
    before = {file.name: file.read_bytes() for file in built.candidate.iterdir()}
    report = DbtWarehouse(built).build(OLD)
    assert report.until == LAST
    assert {file.name: file.read_bytes() for file in built.candidate.iterdir()} == before
