"""The benchmark's features and labels are those that users run: the platform's own landing, dbt build and point-in-time join give the same."""

from datetime import date, timedelta

import pandas as pd
import pyarrow.parquet as pq
import pytest

from bench.world.history import History
from bench.world.warehouse import Model, Warehouse
from sources.simulated.day import simulate_day
from sources.simulated.members import draw_members
from sources.simulated.policy import build_menus
from sources.simulated.state import first_state
from sources.simulated.world import build_world
from sources.write import write_day
from tests.fakes.features import FakeFeatureStore
from tests.sources.simulated.conftest import START
from training.adapters.dbt_warehouse import DbtWarehouse
from training.domain.catalog import load_catalog
from training.domain.nouns import Label
from training.domain.schema import ARM_FEATURES, ARM_NUMERIC, DECISION_OUTCOMES, MEMBER_FEATURES
from training.steps import training_set

DAYS, FIRST = 33, 30
"""The benchmark builds the first 30 days at once and the others day by day; the platform builds all at once."""


@pytest.fixture(scope="module", name="both")
def _both(settings, models, tmp_path_factory):
    """A history of the benchmark, and the settings of the platform's home, of one world of 60 members."""
    own = settings.model_copy(update={"home": tmp_path_factory.mktemp("home")})
    world = build_world(3, 60, START, load_catalog(own.catalog))
    members, menus = draw_members(world), build_menus(world)
    state, warehouse = first_state(world, members), Warehouse(models, own.catalog)
    for day in range(DAYS):
        state, tables, _ = simulate_day(world, members, menus, state)
        write_day(own.raw, world.day(day), tables)
        warehouse.land(world.day(day), tables)
        if day >= FIRST - 1:
            warehouse.build(world.day(day), first=day == FIRST - 1)
    platform = DbtWarehouse(own)
    platform.build(world.day(DAYS - 1))
    platform.publish()
    return History(world, menus, warehouse, own.training.window_days), own, world.day(DAYS - 1)


@pytest.mark.parametrize("table", [MEMBER_FEATURES, ARM_FEATURES, DECISION_OUTCOMES], ids=lambda t: t.name)
def test_each_mart_is_the_platforms(both, table):
    """All rows and all columns of every day, those that were added a day at a time too."""
    history, own, _ = both
    order = ", ".join(table.key)
    ours = history.warehouse.ask(f"select {', '.join(table.names)} from {table.name} order by {order}").to_pandas()
    theirs = pq.read_table(own.marts / f"{table.name}.parquet", columns=list(table.names)).to_pandas()
    pd.testing.assert_frame_equal(ours, theirs.sort_values(list(table.key), ignore_index=True), check_dtype=False)


def test_the_training_set_is_the_platforms(both):
    """The step `training_set`, with the store's contract for the join (newest row known at the decision), gives the same rows."""
    history, own, day = both
    end = history.world.day(DAYS)
    decisions = pq.read_table(own.marts / f"{DECISION_OUTCOMES.name}.parquet", columns=list(DECISION_OUTCOMES.names))
    now = pd.Timestamp(end, tz="UTC").to_pydatetime()
    known = training_set.as_known(decisions, now - timedelta(days=own.training.window_days), now)
    recent = known.slice(known.num_rows - 60)
    frame = FakeFeatureStore(own.marts, timedelta(days=own.feature_ttl_days)).training_frame(training_set.keys(recent))
    theirs = training_set.attach(recent, frame).to_pandas()
    ours = history.training(day)
    assert len(ours) == known.num_rows
    assert theirs["visits_28d"].notna().all()
    pd.testing.assert_frame_equal(ours.tail(60).reset_index(drop=True), theirs, check_dtype=False)


def test_matured_answers_are_the_difference_between_two_midnights(both):
    """What `matured` tells of the last day is what `training` knows today and did not know yesterday."""
    history, _, day = both
    for label in (Label.CONVERTED, Label.RETAINED):
        today, before = (set(f.loc[f[label.value].notna(), "decision_id"]) for f in (history.training(day), history.training(day - timedelta(days=1))))
        assert set(history.matured(label, day)["decision_id"]) == today - before
    assert set(history.arms(day)["none"]) >= set(ARM_NUMERIC)


def test_a_day_adds_its_rows_to_what_no_day_changes(models, settings):
    """Staging and members' events; all other tables are made again from all days."""
    assert {m.name for m in models if m.appended} == {*(m.name for m in models if m.name.startswith("stg_")), "member_events"}
    made = [Model(name, "table", "", "select 1 as x", "select 2 as x", "select 1", name == "added") for name in ("added", "again")]
    warehouse = Warehouse(tuple(made), settings.catalog)
    warehouse.build(date(2026, 1, 1), first=True)
    warehouse.build(date(2026, 1, 2))
    found = {name: warehouse.ask(f"select x from {name} order by x")["x"].to_pylist() for name in ("added", "again")}
    assert found == {"added": [1, 2], "again": [2]}
