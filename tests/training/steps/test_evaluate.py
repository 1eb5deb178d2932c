"""The evaluate step, with a small model on a synthetic training set and the fake registry."""

from __future__ import annotations

import json
import shutil
from datetime import date
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from tests.fakes.ledger import FakeLedger
from tests.fakes.registry import FakeRegistry
from tests.fakes.training_frame import training_frame
from training.adapters.ports import Platform
from training.config.settings import ExplorationSettings, Settings, TrainingSettings
from training.domain.catalog import load_catalog
from training.domain.errors import DataError, NotReadyError
from training.model.split import is_holdout
from training.steps import evaluate, train

RULED = ("converted", "retained", "opted_out", "dismissed", "conversion_value")
DAY, NEXT = date(2026, 2, 1), date(2026, 2, 2)


def small(home) -> Settings:
    """A small network and few posterior draws; the catalog is the simulated one."""
    return Settings(home=home, training=TrainingSettings(width=16, epochs=1, batch=256), exploration=ExplorationSettings(draws=32))


def platform_of(home) -> Platform:
    """A platform of which this step uses the registry only."""
    nothing = cast("Any", None)
    return Platform(nothing, nothing, nothing, nothing, FakeRegistry(home / "registry"), FakeLedger(), nothing)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A home where both days were trained on the same 1,200 decisions, and the aliases that say so."""
    home = tmp_path_factory.mktemp("trained")
    settings, platform = small(home), platform_of(home)
    frame = training_frame(load_catalog(settings.catalog), 1200)
    for day in (DAY, NEXT):
        settings.run_dir(day.isoformat()).mkdir(parents=True)
        frame.to_parquet(settings.run_dir(day.isoformat()) / "training_set.parquet")
        train.run(day, settings, platform)
    return home


@pytest.fixture
def home(trained, tmp_path):
    """A copy of that home of the test's own."""
    shutil.copytree(trained, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def platform(home):
    """Version 1 is DAY's and challenger, version 2 is NEXT's; there is no champion."""
    made = platform_of(home)
    made.registry.facts |= {"1": {"run_id": DAY.isoformat(), "digest": "a"}, "2": {"run_id": NEXT.isoformat(), "digest": "b"}}
    made.registry.point("challenger", "1")
    return made


def read(home, day=DAY):
    """The evaluation of a day."""
    return json.loads((home / "runs" / day.isoformat() / "evaluation.json").read_text())


def rewrite(home, day=DAY, **columns):
    """Replace columns of the day's training set."""
    path = home / "runs" / day.isoformat() / "training_set.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path)


def test_the_challenger_is_measured_on_held_out_members_against_the_log(home, platform):
    """Only held-out members with a mature label count; the logging policy's weights are 1; the target file is a proper policy on them."""
    report = evaluate.run(DAY, small(home), platform)
    found = read(home)
    frame = pd.read_parquet(home / "runs" / DAY.isoformat() / "training_set.parquet")
    held = frame[is_holdout(frame["member_id"], 0.5) & frame[list(RULED)].notna().any(axis=1)]
    assert (report.challenger, report.baseline, report.rows, report.members) == ("1", "logging policy", len(held), held["member_id"].nunique())
    assert report.mature == {m: int(held[m].notna().sum()) for m in RULED}
    for metric in found["metrics"].values():
        assert metric["support"]["baseline"]["mean_weight"] == pytest.approx(1.0)
        assert metric["baseline"]["ips"]["value"] == pytest.approx(metric["observed"])
    target = pd.read_parquet(home / "runs" / DAY.isoformat() / "target.parquet")
    assert target.groupby("decision_id")["probability"].sum().to_numpy() == pytest.approx(1.0)
    assert set(target["decision_id"]) == set(held["decision_id"])
    assert sum(arm["challenger"] for arm in found["arms"]) == pytest.approx(1.0)
    assert sum(found["weights"]["counts"]) == len(held)


def test_a_rerun_writes_the_same_bytes(home, platform):
    """Also after the challenger was promoted, and after a newer one was trained."""
    evaluate.run(DAY, small(home), platform)
    files = [home / "runs" / DAY.isoformat() / name for name in ("evaluation.json", "target.parquet")]
    before = [f.read_bytes() for f in files]
    platform.registry.point("champion", "1")
    evaluate.run(DAY, small(home), platform)
    platform.registry.point("champion", "2")
    platform.registry.point("challenger", "2")
    evaluate.run(DAY, small(home), platform)
    assert [f.read_bytes() for f in files] == before
    assert not list((home / "runs" / DAY.isoformat()).glob(".*json*"))


def test_other_weights_of_the_same_day_meet_the_champion_in_charge(home, platform):
    """The day was evaluated against the logging policy; trained again it is another challenger, and by now its first version is champion."""
    evaluate.run(DAY, small(home), platform)
    platform.registry.point("champion", "1")
    model = home / "runs" / DAY.isoformat() / "model"
    (model / "note").write_text("other content")
    platform.registry.point("challenger", platform.registry.register(model, {"run_id": DAY.isoformat()}))
    report = evaluate.run(DAY, small(home), platform)
    assert (report.challenger, report.baseline) == ("3", "1")


def test_a_champion_is_the_baseline_where_there_is_one(home, platform):
    """Both versions learned the same, so that the difference is exactly nothing."""
    platform.registry.point("champion", "1")
    platform.registry.point("challenger", "2")
    report = evaluate.run(NEXT, small(home), platform)
    found = read(home, NEXT)
    assert (report.challenger, report.baseline, found["champion"]) == ("2", "1", "1")
    assert found["metrics"]["converted"]["difference"]["dr"]["value"] == pytest.approx(0.0, abs=1e-9)


def test_a_label_without_mature_rows_is_said_and_not_guessed(home, platform, capsys):
    """Retention needs 28 days; until then its entry has no rows and no numbers."""
    rewrite(home, retained=None)
    assert evaluate.run(DAY, small(home), platform).mature["retained"] == 0
    assert read(home)["metrics"]["retained"] == {"rows": 0}
    assert "retained: no mature rows" in capsys.readouterr().out


def test_no_mature_rows_at_all_is_still_an_evaluation(home, platform):
    """Nothing of the rules is mature: the judge will hold, nothing crashes."""
    rewrite(home, **dict.fromkeys(RULED))
    assert evaluate.run(DAY, small(home), platform).rows == 0
    assert {m["rows"] for m in read(home)["metrics"].values()} == {0}


def test_money_can_be_a_metric(home, platform):
    """A metric that the model does not predict uses means per arm, and is not a rate."""
    rewrite(home, conversion_value=np.arange(1200) % 7 * 10.0)
    rules = [{"metric": "conversion_value", "kind": "superior"}]
    evaluate.run(DAY, small(home).model_copy(update={"rules": [Settings(rules=rules).rules[0]]}), platform)
    metric = read(home)["metrics"]["conversion_value"]
    assert metric["binary"] is False
    assert 20 < metric["challenger"]["dr"]["value"] < 40


def test_a_rule_can_be_about_dismissals(home, platform):
    """They are judged with means per arm, as the model has no head for them: a challenger that shows less is dismissed less."""
    rules = [{"metric": "dismissed", "kind": "non_inferior", "margin": 0.02, "lower_is_better": True}]
    evaluate.run(DAY, small(home).model_copy(update={"rules": [Settings(rules=rules).rules[0]]}), platform)
    metric = read(home)["metrics"]["dismissed"]
    assert metric["binary"] is True
    assert 0.1 < metric["challenger"]["dr"]["value"] < 0.3


def test_what_is_missing_is_named(home, platform, tmp_path):
    """No training set; no challenger; a challenger of another day; a rule on a column that the training set lacks."""
    with pytest.raises(NotReadyError, match="Run `training_set`"):
        evaluate.run(date(2026, 2, 3), small(home), platform)
    with pytest.raises(NotReadyError, match="Run `train`"):
        evaluate.run(DAY, small(home), platform_of(tmp_path))
    with pytest.raises(NotReadyError, match="2026-02-02 is not registered as challenger"):
        evaluate.run(NEXT, small(home), platform)
    path = home / "runs" / DAY.isoformat() / "training_set.parquet"
    pd.read_parquet(path).drop(columns="retained").to_parquet(path)
    with pytest.raises(DataError, match="name retained"):
        evaluate.run(DAY, small(home), platform)


def test_a_log_whose_propensities_do_not_fit_is_refused(home, platform):
    """Propensities that do not sum to 1 would bias every estimate."""
    frame = pd.read_parquet(home / "runs" / DAY.isoformat() / "training_set.parquet")
    rewrite(home, propensities=frame["propensities"].map(lambda p: p * 0.9))
    with pytest.raises(DataError, match="do not sum to 1"):
        evaluate.run(DAY, small(home), platform)
