"""The command on a tiny world: every learner scores a new arm at once, and the JSON has its shape."""

import json

import numpy as np
import pandas as pd
import pytest

from bench.coldstart import learners
from bench.coldstart import log as logs
from bench.coldstart.run import Plan, measure
from bench.coldstart.world import CREATIVE, build
from training.config.settings import ROOT, TextChoice
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError
from training.domain.nouns import Label
from training.model.fit import fit
from training.model.text import Sentence


@pytest.fixture
def quick(monkeypatch):
    """One epoch of a small network, no sentence encoder."""
    small = learners.TrainingSettings
    monkeypatch.setattr(learners, "TrainingSettings", lambda **given: small(width=16, epochs=1, batch=256, **given))
    monkeypatch.setattr(Sentence, "installed", lambda _: False)


@pytest.fixture(scope="module")
def tiny():
    """A world, what is known of its members, and 4,000 decisions."""
    cold = build(4, 500, 0.05, load_catalog(ROOT / "dbt" / "seeds" / "simulated"))
    people = logs.people(cold, np.random.default_rng(1))
    return cold, people, logs.log(cold, people, 4000, np.random.default_rng(2))


def shown_to_all(tiny, arm):
    """The first 50 members as audience of `arm`."""
    cold, people, _ = tiny
    return logs.rows_of(cold, people, np.arange(50), [arm] * 50, np.full(50, logs.DAYS))


def test_json_has_its_shape(quick, tmp_path, capsys):
    """One object on standard output, progress elsewhere; every case has every learner, and every plot was written."""
    assert measure(Plan(seeds=1, first=4, rows=4000, members=500, creatives=8), tmp_path, as_json=True) == 0
    said, progress = capsys.readouterr()
    result = json.loads(said)
    assert result["seeds"] == 1
    known = ("new_creative", "new_product_x_channel")
    assert set(result["cases"]) == {*known, "new_creative_unseen_words", *(f"{name}_idiosyncratic" for name in known)}
    for by in result["cases"].values():
        assert set(by) == {"hashed", "one_hot", "beta"}
        assert {"median", "p90", "share_within_50", "coverage", "reached_median", "reached_p90", "reached_within_50"} <= set(by["hashed"])
    assert len(list(tmp_path.glob("*.svg"))) == len(result["plots"]) == 5
    assert "minilm is not installed" in progress


def test_only_the_learners_that_were_named(quick, tmp_path, capsys):
    """Nothing else is fitted; a name that does not exist is refused with those that do."""
    assert measure(Plan(1, 4, 3000, 400, creatives=8, learners=learners.named("beta, hashed")), tmp_path, as_json=True) == 0
    said, progress = capsys.readouterr()
    assert all(set(by) == {"hashed", "beta"} for by in json.loads(said)["cases"].values())
    assert "one_hot" not in progress
    with pytest.raises(ConfigError, match=r"'gold'.*minilm, hashed, one_hot, beta"):
        learners.named("gold")


def test_a_belief_is_the_models_prediction_before_any_impression(quick, tiny):
    """The rate of a new arm is the mean of `model.predict`; a learner without texts cannot tell one new creative from another."""
    cold, _, log = tiny
    model = fit(log, cold.catalog, learners.TrainingSettings(text_encoder=TextChoice.HASHED), 4, str)
    blind, rates, same = learners.one_hot(log, cold.catalog, 4), [], []
    for arm in cold.cases[CREATIVE][:2]:
        rows = shown_to_all(tiny, arm).assign(surface="web")
        rates.append(learners.believed(model, rows, cold.catalog).rate())
        assert rates[-1] == pytest.approx(model.predict(rows, cold.catalog)[Label.CLICKED].mean(), rel=1e-5)
        same.append(blind(rows).rate())
    assert rates[0] != rates[1]
    assert same[0] == pytest.approx(same[1], rel=1e-6)


def clicks(rates):
    """A log of 100 impressions of each arm, of which so many were clicked."""
    return pd.concat([pd.DataFrame({"arm_id": f"a{i}", "clicked": np.arange(100) < count}) for i, count in enumerate(rates)])


def test_arms_that_differ_by_chance_alone_are_a_prior_of_one_arm():
    """10 clicks of 100 each: a prior of 100 impressions, not of millions, so 100 answers count as much as it does."""
    before = learners.counting(clicks([10, 10, 10, 10]))(None)
    assert (before.a, before.b) == pytest.approx((10.0, 90.0))
    assert before.after(np.arange(100), np.full(100, 0.3)).rate() == pytest.approx(0.2)


def test_arms_that_differ_are_a_weaker_prior():
    """By hand: rates 0 and 0.4 have mean 0.2 and variance 0.08, of which chance is 0.16 / 100; 0.16 / 0.0784 - 1 impressions."""
    before = learners.counting(clicks([0, 40]))(None)
    assert before.a + before.b == pytest.approx(0.16 / 0.0784 - 1)
    assert before.rate() == pytest.approx(0.2)


def test_answers_move_a_belief_and_narrow_it(quick, tiny):
    """For the platform's learner as for the counting one."""
    cold, _, log = tiny
    rows = shown_to_all(tiny, cold.cases[CREATIVE][0])
    for learner in (learners.platform(log, cold.catalog, TextChoice.HASHED, 4), learners.counting(log)):
        before = learner(rows)
        less, more = before.after(np.arange(2000) % 50, np.zeros(2000)), before.after(np.arange(50), np.ones(50))
        assert less.rate() < before.rate() < more.rate()
        assert less.interval()[1] - less.interval()[0] < before.interval()[1] - before.interval()[0]
        assert before.interval()[0] < before.rate() < before.interval()[1]
