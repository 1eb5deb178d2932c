"""What is put into the stores, and what Feast's server is asked."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow.parquet as pq

from bench.serving import feast_server, marts
from bench.serving.champion import offers
from bench.serving.feast_server import PACKED, STOCK, Variant
from bench.serving.setup import Home, sync_ms
from training.adapters.learner_lock import only_learner
from training.adapters.log_engine import log_engine
from training.adapters.log_keys import ApiKeys
from training.adapters.parquet import arrow_schema
from training.config.settings import Settings
from training.domain.schema import ARM_FEATURES, MEMBER_FEATURES

AT = datetime(2026, 3, 10, tzinfo=UTC)


def test_marts_have_the_schema_and_every_member_and_arm(tmp_path):
    """300 members and 7 arms besides `none`, some values unknown, the same bytes for the same seed."""
    catalog = offers(7)
    for name in ("a", "b"):
        marts.write(tmp_path / name, 300, catalog, AT, seed=1)
    members, arms = (pq.read_table(tmp_path / "a" / f"{t.name}.parquet") for t in (MEMBER_FEATURES, ARM_FEATURES))
    assert members.schema.equals(arrow_schema(MEMBER_FEATURES))
    assert arms.schema.equals(arrow_schema(ARM_FEATURES))
    assert members["member_id"].to_pylist() == [marts.member(i) for i in range(300)]
    assert arms["arm_id"].to_pylist() == [*catalog.arms, "none"]
    assert 0 < members["visits_7d"].null_count < 100
    assert members.equals(pq.read_table(tmp_path / "b" / "member_features.parquet"))


def test_both_stores_of_feast_are_filled_alike_and_questions_ask_for_the_same_features(tmp_path):
    """Feast's own store and ours give one member the same values, by references and by the service's name."""
    from feast import FeatureStore

    settings = Settings(home=tmp_path / "home")
    marts.write(settings.marts, 120, offers(4), AT, seed=2)
    feast_server.prepare(settings, tmp_path / "feast", AT)
    answers = []
    for variant in (Variant(STOCK, tuned=False), Variant(PACKED, tuned=True)):
        asked = json.loads(feast_server.question(5, variant.tuned).split(b"\r\n\r\n")[1])
        store = FeatureStore(repo_path=str(tmp_path / "feast" / feast_server.name_of(variant)))
        wanted = asked.get("features") or store.get_feature_service(asked["feature_service"])
        answers.append(store.get_online_features(wanted, asked["entities"]).to_dict())
    assert answers[0] == answers[1]
    assert len(answers[0]) == len(feast_server.REFERENCES) + 1
    assert answers[0]["consents"] == [""]


def test_a_copy_of_a_home_learns_by_itself(tmp_path):
    """It has the same stores, an empty log where it was asked for, and a learner beside that of the home; two on one home are one too many."""
    settings = Settings(home=tmp_path / "home")
    for name in ("feast/online.db", "decisions.db", "decisions.db.learner.lock"):
        (settings.home / name).parent.mkdir(parents=True, exist_ok=True)
        (settings.home / name).write_text(name)
    log = tmp_path / "log"
    home = Home(settings, 1, 1, AT, ("1", "2"), {"RIGHTMATCH_HOME": str(settings.home)}, "key")
    copy = home.on(tmp_path / "copy", log)
    assert (copy.settings.home / "feast" / "online.db").read_text() == "feast/online.db"
    assert not (copy.settings.home / "decisions.db").exists()
    assert copy.env["RIGHTMATCH_HOME"] == str(copy.settings.home)
    engine = log_engine(copy.env["RIGHTMATCH_SERVING__LOG_URL"])
    assert engine.url.database == str(log / "decisions.db")
    assert [key.name for key in ApiKeys(engine).list()] == ["bench"]
    assert not (copy.settings.home / "decisions.db.learner.lock").exists()
    (settings.home / "decisions.db").unlink()
    theirs = log_engine(settings.log_url)
    with (
        only_learner(theirs, settings.posterior) as first,
        only_learner(engine, copy.settings.posterior) as second,
        only_learner(theirs, settings.posterior) as third,
    ):
        assert [bool(hold) for hold in (first, second, third)] == [True, True, False]


def test_a_sync_takes_time_and_leaves_nothing(tmp_path):
    """The 99th percentile is no less than the median, and the folder is as it was."""
    found = sync_ms(tmp_path, times=20)
    assert 0 < found["p50"] <= found["p99"]
    assert not list(tmp_path.iterdir())
