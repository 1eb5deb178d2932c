"""The truth is the truth: the log agrees with it, and inverse propensity scoring on the log is unbiased against it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sources.simulated.members import draw_members
from sources.simulated.outcomes import Situation, chances
from sources.simulated.truth import expected, expected_flat
from sources.simulated.world import NO_NEED, build_world, load_world
from tests.sources.simulated.conftest import SEEDS, START
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError, DataError

LABELS = ("converted", "clicked", "opted_out", "dismissed")


@pytest.fixture(name="mature", scope="module")
def _mature(decisions):
    """Decisions whose conversion window is over."""
    return decisions[decisions.day < 42].reset_index(drop=True)


@pytest.fixture(name="rows", scope="module")
def _rows(world, mature):
    """One row a decision and feasible arm: decision index, arm, logged propensity, whether it was chosen, and the truth of each label."""
    truth, sizes = expected_flat(world.truth, mature)
    index = np.repeat(np.arange(len(mature)), sizes)
    arm = np.concatenate(mature.feasible_arms.to_list())
    rows = {"index": index, "arm": arm, "propensity": np.concatenate(mature.propensities.to_list()), "chosen": arm == mature.chosen_arm.to_numpy()[index]}
    return pd.DataFrame(rows | truth)


def z_score(estimate_minus_truth, member):
    """Mean over its standard error, clustered by member: about N(0, 1) if the mean is 0."""
    sums = pd.Series(estimate_minus_truth).groupby(np.asarray(member)).sum()
    return float(sums.sum() / np.sqrt((sums**2).sum()))


@pytest.mark.parametrize("label", LABELS)
def test_the_log_agrees_with_the_truth(mature, rows, label):
    """Observed minus true probability of the chosen arm is noise around 0."""
    true = rows[label].to_numpy()[rows.chosen]
    assert abs(z_score(mature[label].astype(float) - true, mature.member_id)) < 3


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("policy", ["greedy", "softmax", "shy"])
def test_ips_on_logged_propensities_is_unbiased(mature, rows, policy, label):
    """Weighted outcomes of three policies that the log did not follow, against their true values (fixed seed, three standard errors)."""
    score = {"greedy": rows.converted * 1e3, "softmax": rows.converted * 60, "shy": (rows.arm == "none") * 2.0}[policy]
    weight = np.exp(score - score.groupby(rows["index"]).transform("max"))
    target = weight / weight.groupby(rows["index"]).transform("sum")
    true = (target * rows[label]).groupby(rows["index"]).sum()
    ratio = (target / rows.propensity)[rows.chosen].to_numpy()
    assert ratio.mean() == pytest.approx(1.0, abs=0.1)
    assert abs(z_score(ratio * mature[label].astype(float) - true, mature.member_id)) < 3


def test_lapsed_members_are_those_that_the_hazard_says(world, mature, rows):
    """Members who are never active again after their last decision are as many as the hazards of all their decisions sum to."""
    early = mature[mature.day < 35]
    hazard = rows.lapsed.to_numpy()[rows.chosen][early.index]
    last_seen = world.table("activity").query("kind == 'visit'").groupby("member_id").occurred_at.max()
    gone = early[early.decided_at >= early.member_id.map(last_seen).fillna(pd.Timestamp(0, tz="UTC"))].drop_duplicates("member_id", keep="last")
    assert len(gone) == pytest.approx(hazard.sum(), abs=3 * np.sqrt(hazard.sum()))


def test_expected_is_aligned_with_the_menu(world, mature):
    """One array a decision and label, as long as its menu; `none` never clicks, and retention is 1 - hazard."""
    few = mature.head(20)
    truth = expected(world.truth, few)
    assert [len(v) for v in truth["converted"]] == few.feasible_arms.map(len).tolist()
    assert all(v[0] == 0 for v in truth["clicked"])  # `none` comes first
    assert all(np.allclose(r, 1 - h) for r, h in zip(truth["retained"], truth["lapsed"], strict=True))
    assert expected(world.truth, few.iloc[::-1])["converted"][0] == pytest.approx(truth["converted"][-1])


def test_decisions_of_another_world_are_refused(world, mature, tmp_path):
    """An answer about rows that the truth does not know would be invented."""
    with pytest.raises(DataError, match="does not know 1 of"):
        expected(world.truth, mature.head(1).assign(decision_id="d20260105-9999999"))
    with pytest.raises(DataError, match="of another world"):
        expected(world.truth, mature.head(1).assign(decision_id="d20990105-0000001"))
    with pytest.raises(ConfigError, match="does not exist"):
        load_world(tmp_path)


def test_fatigue_ownership_and_pressure_work_as_documented():
    """One job seeker on one arm: seven messages and owning the product lower the effect, pressing doubles it."""
    world = build_world(3, 400, START, load_catalog(SEEDS))
    members = draw_members(world)
    seeker = int(np.flatnonzero(members.need == 0)[0])
    arm = world.arm_ids.index("career.who_viewed.feed")
    both = np.array([seeker, seeker, seeker])
    c = chances(world, members, Situation(both, np.full(3, arm), np.array([0, 7, 0]), np.array([0, 0, 1])))
    assert c.effect[1] / c.effect[0] == pytest.approx(np.exp(-7 * world.rates.fatigue_conversion))
    assert c.lapsed[1] / c.lapsed[0] == pytest.approx(np.exp(7 * world.rates.fatigue_harm))
    assert c.effect[2] / c.effect[0] == pytest.approx(world.rates.owned_factor)
    nobody = int(np.flatnonzero(members.need == NO_NEED)[0])
    plain = chances(world, members, Situation(np.array([nobody]), np.array([world.none]), np.array([3]), np.array([0])))
    assert (plain.effect[0], plain.clicked[0], plain.opted_out[0]) == (0.0, 0.0, 0.0)
    assert plain.lapsed[0] == world.rates.lapse_none
