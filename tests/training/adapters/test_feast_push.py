"""Rows of single members through real Feast: what is pushed is served at once, the next materialization replaces it, and dbt agrees with the counts."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from datetime import date

import pytest

from tests.fakes import learning as fake
from tests.fakes.features import feature_row, write_mart
from tests.fakes.learning import AS_OF, DAY, HOUR
from tests.fakes.raw import close, land, member
from training.adapters.dbt_warehouse import DbtWarehouse
from training.adapters.decision_log import DecisionLog
from training.adapters.feast_push import OnlineMembers
from training.adapters.log_engine import micros
from training.adapters.recent import COUNTED, Counts, Recent
from training.config.settings import Settings
from training.domain.nouns import OutcomeKind
from training.domain.schema import ARM_FEATURES, MEMBER_FEATURES, MEMBER_VIEW

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:feast.*")
FEED = "career.who_viewed.feed"


def row(member_id, count, at=AS_OF):
    """A member whose every count is `count`."""
    return feature_row(at, member_id=member_id, country="NL", consents="email", visits_7d=2.5, lifetime_value=None, **dict.fromkeys(COUNTED, float(count)))


@pytest.fixture
def store(tmp_path):
    """Members a and b online as of AS_OF."""
    settings = Settings(home=tmp_path)
    write_mart(settings.marts, MEMBER_FEATURES, [row("a", 1), row("b", 2)])
    write_mart(settings.marts, ARM_FEATURES, [feature_row(AS_OF, arm_id="none")])
    made = OnlineMembers(settings)
    assert made.materialized() is None
    made.apply()
    assert made.materialized() is None
    made.materialize(AS_OF)
    return made


def test_what_is_pushed_is_served_and_the_next_day_replaces_it(store):
    """Every other feature, nulls and the event time stay; a rerun of the same day replaces, and so does the next day; the pushed row never hides either."""
    first = store.materialized()
    assert first == (AS_OF, 1)
    (before,) = store.online_members(["a"])
    store.write_members({"a": {**before, "messages_7d": 5.0}})
    assert store.online_members(["a", "b"]) == [{**before, "messages_7d": 5.0}, store.online_members(["b"])[0]]
    assert before["lifetime_value"] is None
    store.materialize(AS_OF)
    assert store.online_members(["a"]) == [before]
    assert store.materialized() == (AS_OF, 2)
    store.write_members({"a": {**before, "messages_7d": 6.0}})
    write_mart(store._settings.marts, MEMBER_FEATURES, [row("a", 9, AS_OF + DAY)])
    store.materialize(AS_OF + DAY)
    store.write_members({"a": {**before, "messages_7d": 7.0}})
    assert [store.online_members(["a"])[0][name] for name in ("messages_7d", "event_timestamp")] == [9.0, AS_OF + DAY]
    store.write_members({})


def lying(store):
    """All rows of members as they lie in the file."""
    with closing(sqlite3.connect(store._settings.home / "feast" / "online.db")) as connection:
        (table,) = [name for (name,) in connection.execute("select name from sqlite_master where type = 'table'") if name.endswith(MEMBER_VIEW)]
        return connection.execute(f"select * from {table} order by entity_key").fetchall()


def test_counts_that_are_replaced_in_their_place_are_those_of_a_row_written_anew(store, monkeypatch):
    """Byte for byte, nulls and times too, and as through Feast, which stores have that are not our file. What lies below a null differs where it was NaN."""
    write_mart(store._settings.marts, MEMBER_FEATURES, [row("a", 1), row("b", 2) | dict.fromkeys(COUNTED) | {"visits_7d": math.nan}])
    counts, lain = Counts(5.0, 6.5, 0.0, 8.0), []
    for through_feast in (False, True):
        store.materialize(AS_OF)
        with monkeypatch.context() as patch:
            if through_feast:
                patch.setattr(store, "_packed", None)
            a, nobody, b = store.counts_online(["a", "nobody", "b"])
            assert (a.at, a.counts, nobody, b.counts) == (micros(AS_OF), Counts(1.0, 1.0, 1.0, 1.0), None, Counts(0.0, 0.0, 0.0, 0.0))
            assert isinstance(a.row, dict) == through_feast
            assert store.write_counts({"a": (a, counts), "b": (b, counts)}) == 2
            assert [found.counts for found in store.counts_online(["a", "b"])] == [counts, counts]
        lain.append((lying(store)[0], store.online_members(["a", "b"])))
    assert lain[0] == lain[1]
    assert store.write_counts({}) == 0


def test_rows_of_another_layout_are_pushed_through_feast(store, monkeypatch):
    """As of an earlier version, which kept a count otherwise."""
    monkeypatch.setattr("training.adapters.feast_counts.patch_of", lambda *_: None)
    (a,) = store.counts_online(["a"])
    assert store.write_counts({"a": (a, Counts(5.0, 6.5, 0.0, 8.0))}) == 1
    assert [store.online_members(["a"])[0][name] for name in COUNTED] == [5.0, 6.5, 0.0, 8.0]


def test_a_row_that_was_materialized_meanwhile_stays(store):
    """A correction of the same day that came between reading and writing: it would be lost with all its other features."""
    (a,) = store.counts_online(["a"])
    write_mart(store._settings.marts, MEMBER_FEATURES, [row("a", 9)])
    store.materialize(AS_OF)
    assert store.write_counts({"a": (a, Counts(5.0, 5.0, 5.0, 5.0))}) == 0
    assert store.online_members(["a"])[0]["messages_7d"] == 9.0


def test_another_process_sees_it_and_a_new_member_is_not_made_up(store):
    """A second store on the same files reads the pushed row; the log's events of a member who is not online push nothing."""
    log = DecisionLog(f"sqlite:///{store._settings.home / 'log.db'}")
    fake.fill(log, [fake.served(1, AS_OF + HOUR, member="a", arm=FEED), fake.served(2, AS_OF + HOUR, member="new", arm=FEED)])
    recent = Recent(log.engine, store)
    assert recent.renew()
    assert recent.push(10) == 1
    found, nobody = OnlineMembers(store._settings).online_members(["a", "new"])
    assert [found[name] for name in COUNTED] == [2.0, 2.0, 1.0, 1.0]
    assert nobody == {}


def test_the_counts_are_those_that_dbt_gives_a_day_later(tmp_path):
    """Messages and answers of one day: pushed as they came, and landed as files and built by dbt that night. Both say the same of every member."""
    settings = Settings(home=tmp_path)
    ids = [f"m{i}" for i in range(4)]
    land(settings.raw, "members", [member(i, "2026-01-01 00:00") for i in ids])
    yesterday = [fake.served(100 + i, AS_OF - 5 * HOUR, member="m1", arm=FEED) for i in range(2)]
    today = [fake.served(i, AS_OF + i * HOUR, member=ids[i % 3], arm=FEED if i % 4 else "none") for i in range(12)]
    shown = [each for each in today if each.chosen_arm != "none"]
    said = [("d100", OutcomeKind.CLICK, AS_OF + HOUR)]
    said += [(each.asked.decision_id, OutcomeKind.CLICK, each.asked.at + HOUR / 2) for each in shown]
    said += [(each.asked.decision_id, OutcomeKind.DISMISS, each.asked.at + HOUR) for each in shown[::2]]
    build(settings, [*yesterday, *today], said, AS_OF.date())
    store = OnlineMembers(settings)
    store.apply()
    store.materialize(AS_OF)
    assert [row["messages_7d"] for row in store.online_members(ids)] == [0.0, 2.0, 0.0, 0.0]

    log = DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")
    recent = Recent(log.engine, store)
    fake.fill(log, [*yesterday, *today])
    fake.tell(log, *said)
    assert recent.renew()
    assert recent.push(100) == 3
    pushed = [{name: row[name] for name in COUNTED} for row in store.online_members(ids)]

    store.materialize(AS_OF + DAY)
    built = store.online_members(ids)
    assert [{name: row[name] for name in COUNTED} for row in built] == pushed
    assert {row["event_timestamp"] for row in built} == {AS_OF + DAY}
    assert len({row["messages_7d"] for row in pushed}) > 2


def build(settings: Settings, decisions, outcomes, day: date) -> None:
    """Land what the log says, as its export does, and build the features of every day up to `day`."""
    rows = [
        {
            "decision_id": d.asked.decision_id,
            "member_id": d.asked.member_id,
            "decided_at": d.asked.at,
            "surface": d.asked.context.surface.value,
            "feasible_arms": list(d.feasible),
            "propensities": d.p.tolist(),
            "chosen_arm": d.chosen_arm,
            "propensity": d.propensity,
            "assignment_group": d.group,
        }
        for d in decisions
    ]
    land(settings.raw, "decisions", rows)
    land(settings.raw, "outcomes", [{"outcome_id": f"o{i}", "decision_id": d, "kind": k.value, "occurred_at": at} for i, (d, k, at) in enumerate(outcomes)])
    close(settings.raw, day)
    DbtWarehouse(settings).build(day)
    DbtWarehouse(settings).publish()
