"""The world of new arms: what the log lacks, what texts mean, and what is the truth."""

import numpy as np
import pytest

from bench.coldstart import log as logs
from bench.coldstart.phrases import BENEFITS, CALLS, TONES
from bench.coldstart.world import CREATIVE, CREATIVES, PAIR, UNSEEN, build
from training.config.settings import ROOT
from training.domain.catalog import load_catalog
from training.domain.nouns import NONE


@pytest.fixture(scope="module")
def cold():
    """A small world."""
    return build(5, 2000, 0.05, load_catalog(ROOT / "dbt" / "seeds" / "simulated"))


@pytest.fixture(scope="module")
def people(cold):
    """What the platform knows of its members."""
    return logs.people(cold, np.random.default_rng(1))


@pytest.fixture(scope="module")
def log(cold, people):
    """20,000 decisions."""
    return logs.log(cold, people, 20_000, np.random.default_rng(2))


def test_new_arms_are_new(cold, log):
    """No case's arm is in the log; new creatives and new pairs are new in just that."""
    shown = {a for a in log["arm_id"] if a != NONE}
    arms = cold.catalog.arms
    pairs, creatives = {(arms[a].product_id, arms[a].channel_id) for a in shown}, {arms[a].creative_id for a in shown}
    assert shown <= set(cold.old.arms)
    for case in (CREATIVE, UNSEEN):
        assert all(arms[a].creative_id not in creatives and (arms[a].product_id, arms[a].channel_id) in pairs for a in cold.cases[case])
    assert all(arms[a].creative_id in creatives and (arms[a].product_id, arms[a].channel_id) not in pairs for a in cold.cases[PAIR])
    assert len(creatives) == CREATIVES * len(BENEFITS)


def test_unseen_words_are_unseen(cold):
    """The last wording of each meaning is in no text of the log, and three of them make every text of that case."""
    last = {w[-1] for group in (TONES, CALLS, *BENEFITS.values()) for w in group}
    old = " ".join(c.text for c in cold.old.creatives.values())
    assert not any(wording in old for wording in last)
    texts = [cold.catalog.creatives[cold.catalog.arms[a].creative_id].text for a in cold.cases[UNSEEN]]
    assert all(sum(wording in text for wording in last) == 3 for text in texts)


def test_the_log_follows_the_truth(cold, log):
    """Within four standard errors: clicks of shown arms, and none under `none`."""
    shown = log[log["arm_id"] != NONE]
    truth = np.concatenate([logs.click_rates(cold, g["member_id"].str[1:].astype(int).to_numpy(), a) for a, g in shown.groupby("arm_id")])
    assert shown["clicked"].mean() == pytest.approx(truth.mean(), abs=4 * (truth.mean() / len(shown)) ** 0.5)
    assert not log.loc[log["arm_id"] == NONE, "clicked"].any()


def test_counts_are_of_the_past(log):
    """On the first day nothing is known; on the last day an arm's count is what the days before it showed."""
    days = log["day"]
    assert not log.loc[days == days.min(), "arm_impressions_28d"].any()
    arm = log.loc[days == days.max(), "arm_id"].iloc[-1]
    before = log[(days < days.max()) & (log["arm_id"] == arm)]
    last = log[(days == days.max()) & (log["arm_id"] == arm)].iloc[0]
    assert (last["arm_impressions_28d"], last["arm_clicks_28d"]) == (len(before), before["clicked"].sum())


def test_only_who_agreed_is_shown(cold, log):
    """A channel that needs consent reaches its audience only."""
    arm = next(a for a, v in cold.old.arms.items() if v.channel_id == "sms" and a in set(log["arm_id"]))
    members = log.loc[log["arm_id"] == arm, "member_id"].str[1:].astype(int)
    assert set(members) <= set(logs.audience(cold, arm).tolist())
    assert 0 < len(logs.audience(cold, arm)) < cold.world.members


def test_the_same_seed_is_the_same_world(cold):
    """And more of what no text tells leaves the texts as they are."""
    base = load_catalog(ROOT / "dbt" / "seeds" / "simulated")
    again, other = build(5, 2000, 0.05, base), build(5, 2000, 0.2, base)
    assert np.array_equal(again.world.creative_quality, cold.world.creative_quality)
    assert again.cases == cold.cases
    assert other.catalog.creatives == cold.catalog.creatives
    assert not np.array_equal(other.world.creative_quality, cold.world.creative_quality)
