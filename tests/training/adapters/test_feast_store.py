"""The feature store: one contract on the real store and on the fake, then what only the real one can break."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from tests.fakes.features import FakeFeatureStore, feature_row, write_mart
from training.adapters.feast_store import FeastStore, feature_names, frame_columns
from training.config.settings import Settings
from training.domain.errors import DataError, NotReadyError
from training.domain.schema import ARM_FEATURES, MEMBER_FEATURES

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:feast.*")

D = datetime(2026, 3, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


def member(event_at, visits, created_at=None, member_id="m1", **values):
    """One row of member_features."""
    return feature_row(event_at, created_at, member_id=member_id, visits_7d=visits, **values)


def arm(event_at, clicks, arm_id="p.c.web"):
    """One row of arm_features."""
    return feature_row(event_at, arm_id=arm_id, product_id="p", creative_id="c", channel_id="web", clicks_28d=clicks)


@pytest.fixture(params=["feast", "fake"])
def make(request, tmp_path):
    """A function that writes marts and returns a store on them; called again, it rewrites them under the same store."""
    settings = Settings(home=tmp_path)
    store = FeastStore(settings) if request.param == "feast" else FakeFeatureStore(settings.marts, timedelta(days=settings.feature_ttl_days))

    def build(members, arms=()):
        write_mart(settings.marts, MEMBER_FEATURES, members)
        write_mart(settings.marts, ARM_FEATURES, arms)
        store.apply()
        return store

    return build


def decide(*pairs, arm_id="p.c.web"):
    """Decisions as (member, instant) pairs."""
    frame = pd.DataFrame({"member_id": [p[0] for p in pairs], "arm_id": arm_id})
    return frame.assign(event_timestamp=pd.to_datetime([p[1] for p in pairs], utc=True))


def values(series):
    """Numbers with None where missing, so that both stores compare equal."""
    return [None if pd.isna(v) else v for v in series]


def test_no_feature_later_than_the_decision_leaks(make):
    """A feature row one microsecond after the decision is invisible; one at the same instant is visible."""
    store = make([member(D, 1.0), member(D + DAY, 2.0)])
    instants = [D - timedelta(microseconds=1), D, D + DAY - timedelta(microseconds=1), D + DAY]
    frame = store.training_frame(decide(*(("m1", at) for at in instants)))
    assert values(frame["visits_7d"]) == [None, 1.0, 1.0, 2.0]


def test_a_correction_that_arrived_after_the_decision_is_not_used(make):
    """Two rows of one event time: the corrected one counts only from the instant at which it was created."""
    store = make([member(D, 1.0), member(D, 9.0, created_at=D + 5 * HOUR)])
    frame = store.training_frame(decide(("m1", D + 4 * HOUR), ("m1", D + 5 * HOUR), ("m1", D + 6 * HOUR)))
    assert values(frame["visits_7d"]) == [1.0, 9.0, 9.0]


def test_a_late_row_hides_behind_the_older_one_until_it_is_created(make):
    """Tomorrow's row that landed a day late: until then the decision sees the older row."""
    store = make([member(D, 1.0), member(D + DAY, 2.0, created_at=D + 2 * DAY)])
    frame = store.training_frame(decide(("m1", D + DAY + HOUR), ("m1", D + 2 * DAY)))
    assert values(frame["visits_7d"]) == [1.0, 2.0]


def test_features_expire(make):
    """With three days to live a row counts until exactly three days after its event time."""
    store = make([member(D, 1.0)])
    frame = store.training_frame(decide(("m1", D + 3 * DAY), ("m1", D + 3 * DAY + timedelta(microseconds=1))))
    assert values(frame["visits_7d"]) == [1.0, None]


def test_order_index_and_other_columns_are_kept(make):
    """Unsorted decisions, repeated ones and unknown members come back in their places, with their own columns and index."""
    store = make([member(D, 1.0), member(D, 2.0, member_id="m2")])
    decisions = decide(("m2", D + HOUR), ("m1", D + HOUR), ("m2", D + HOUR), ("nobody", D), ("m1", D)).assign(note=list("abcde"))
    decisions.index = pd.Index([9, 7, 5, 3, 1])
    frame = store.training_frame(decisions)
    assert values(frame["visits_7d"]) == [2.0, 1.0, 2.0, None, 1.0]
    assert list(frame["note"]) == list("abcde")
    assert list(frame.index) == [9, 7, 5, 3, 1]
    assert list(frame.columns) == [*decisions.columns, *frame_columns()]


def test_member_and_arm_features_of_one_name_stay_apart(make):
    """Both views have clicks_28d; the arm's is prefixed."""
    store = make([member(D, 1.0, clicks_28d=3.0, country="de", consents="push,email")], [arm(D, 70.0)])
    row = store.training_frame(decide(("m1", D + HOUR))).iloc[0]
    assert (row["clicks_28d"], row["arm_clicks_28d"]) == (3.0, 70.0)
    assert (row["country"], row["consents"], row["arm_product_id"]) == ("de", "push,email", "p")


def test_online_serves_the_newest_row_at_that_instant(make):
    """Rows after `until` are not served; the newest before it is, one row an entity."""
    store = make([member(D, 1.0), member(D + DAY, 2.0), member(D + 2 * DAY, 3.0)], [arm(D + DAY, 7.0)])
    assert store.materialize(D + DAY) == 2
    (served,) = store.online_members(["m1"])
    assert served["visits_7d"] == 2.0
    assert served["event_timestamp"] == D + DAY
    assert store.online_arms(["p.c.web"])[0]["clicks_28d"] == 7.0


def test_unknown_entities_are_empty_and_order_is_kept(make):
    """Unknown ids give {} in their place; a known member with unknown values gives None for these."""
    store = make([member(D, 1.0), member(D, None, member_id="m2")])
    store.materialize(D)
    first, unknown, second = store.online_members(["m2", "nobody", "m1"])
    assert unknown == {}
    assert (first["visits_7d"], second["visits_7d"]) == (None, 1.0)
    assert set(first) == {*feature_names(MEMBER_FEATURES), "event_timestamp"}
    assert store.online_arms(["p.c.web"]) == [{}]
    assert store.online_members([]) == []


def test_materializing_again_changes_nothing_and_an_earlier_day_writes_nothing(make):
    """Same instant: same rows. Earlier instant: 0 rows, and today's features stay."""
    store = make([member(D, 1.0), member(D + DAY, 2.0)])
    assert store.materialize(D + DAY) == 1
    before = store.online_members(["m1"])
    assert store.materialize(D + DAY) == 1
    assert store.materialize(D) == 0
    assert store.online_members(["m1"]) == before


def test_the_next_day_is_added_and_a_correction_replaces(make):
    """A second materialization brings the next day; a correction of that day is served after a rerun."""
    store = make([member(D, 1.0)])
    store.materialize(D)
    make([member(D, 1.0), member(D + DAY, 2.0)])
    assert store.materialize(D + DAY) == 1
    assert store.online_members(["m1"])[0]["visits_7d"] == 2.0
    make([member(D, 1.0), member(D + DAY, 2.0), member(D + DAY, 5.0, created_at=D + DAY + HOUR)])
    store.materialize(D + DAY)
    assert store.online_members(["m1"])[0]["visits_7d"] == 5.0


def test_only_valid_rows_are_materialized(make):
    """The first run over a long backlog writes rows that are still valid, not the history."""
    store = make([member(D - 10 * DAY, 1.0, member_id="gone"), member(D, 2.0)])
    assert store.materialize(D) == 1
    assert store.online_members(["gone"]) == [{}]


@pytest.fixture
def feast(tmp_path):
    """The real store on a two-day mart of 200 members."""
    settings = Settings(home=tmp_path, materialize_batch=20)
    write_mart(settings.marts, MEMBER_FEATURES, [member(D + i * DAY, float(i), member_id=f"m{j}") for i in range(2) for j in range(200)])
    write_mart(settings.marts, ARM_FEATURES, [arm(D, 1.0)])
    store = FeastStore(settings)
    store.apply()
    return store


def test_readers_are_served_while_a_view_is_materialized(feast, tmp_path):
    """A second process's store reads without one refusal while the first writes, and sees old or new values only."""
    feast.materialize(D)
    reader = FeastStore(Settings(home=tmp_path))
    reader.online_members(["m7"])
    writer = threading.Thread(target=feast.materialize, args=(D + DAY,))
    seen = []
    writer.start()
    while writer.is_alive():
        seen.append(reader.online_members(["m7"])[0]["visits_7d"])
    writer.join()
    assert len(seen) > 5
    assert set(seen) <= {0.0, 1.0}
    assert reader.online_members(["m7"])[0]["visits_7d"] == 1.0


def test_a_view_in_the_middle_of_materialization_is_served(feast):
    """The registry's state MATERIALIZING, which a killed run would leave behind, stops neither reads nor the next run."""
    from feast.feature_view import FeatureViewState

    feast.materialize(D)
    view = feast._feast.registry.get_feature_view("member_features", "rightmatch")
    view.state = FeatureViewState.MATERIALIZING
    feast._feast.registry.apply_feature_view(view, "rightmatch", commit=True)
    assert feast.online_members(["m7"])[0]["visits_7d"] == 0.0
    assert feast.materialize(D + DAY) == 200 + 1


def test_the_online_store_itself_refuses_older_rows(feast):
    """Even a direct `feast materialize` of an earlier day (which Feast's own SQLite store lets through) changes nothing."""
    feast.materialize(D + DAY)
    feast._feast.materialize(start_date=D - DAY, end_date=D)
    assert feast.online_members(["m7"])[0]["visits_7d"] == 1.0
    assert feast.online_members(["m7"])[0]["event_timestamp"] == D + DAY


def test_applying_again_keeps_how_far_a_view_is(feast):
    """`apply` before each materialization does not forget the last one."""
    feast.materialize(D + DAY)
    feast.apply()
    assert feast.materialize(D) == 0


def test_what_is_missing_is_said(tmp_path):
    """No mart, no registration, no time zone, a column twice: each error says what to do."""
    store = FeastStore(Settings(home=tmp_path))
    with pytest.raises(NotReadyError, match="member_features.parquet does not exist"):
        store.apply()
    with pytest.raises(NotReadyError, match="not registered"):
        store.materialize(D)
    with pytest.raises(NotReadyError, match="not registered"):
        store.online_members(["m1"])
    naive = decide(("m1", D)).assign(event_timestamp=pd.to_datetime(["2026-03-10"]))
    with pytest.raises(DataError, match="time zone"):
        store.training_frame(naive)
    with pytest.raises(DataError, match=r"lack the column\(s\) \['arm_id'\]"):
        store.training_frame(decide(("m1", D)).drop(columns="arm_id"))
    with pytest.raises(DataError, match="visits_7d"):
        store.training_frame(decide(("m1", D)).assign(visits_7d=1.0))


def test_no_decisions_give_an_empty_frame(make):
    """An empty frame keeps its columns."""
    frame = make([member(D, 1.0)]).training_frame(decide(("m1", D)).iloc[:0])
    assert len(frame) == 0
    assert set(frame_columns()) <= set(frame.columns)


def test_rows_are_those_of_feasts_own_columns(tmp_path, monkeypatch):
    """What is read without columns equals what is read through `to_dict`, for members with and without values, and for nobody."""
    from training.adapters import feast_response

    settings = Settings(home=tmp_path)
    store = FeastStore(settings)
    write_mart(settings.marts, MEMBER_FEATURES, [member(D, 1.5, country="de", consents="push"), member(D + HOUR, None, member_id="m2")])
    write_mart(settings.marts, ARM_FEATURES, [arm(D, 7.0)])
    store.apply()
    store.materialize(D + HOUR)
    asked = ["m2", "nobody", "m1"]
    rows, arms = store.online_members(asked), store.online_arms(["p.c.web", "gone"])
    monkeypatch.setattr(feast_response, "PackedResponse", type("Other", (), {}))
    assert (store.online_members(asked), store.online_arms(["p.c.web", "gone"])) == (rows, arms)
    assert [list(row) for row in store.online_members(asked)] == [list(row) for row in rows]
