"""The policy on a whole log, and that one member is served by the same arithmetic."""

import numpy as np
import pytest

from tests.fakes.training_frame import HARMFUL
from training.domain.errors import DataError
from training.domain.nouns import NONE, Context, Label, Surface
from training.domain.schema import ARM_NUMERIC, MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.model import policy
from training.model.compiled import Compiled, seed_of
from training.model.policy import policy_probabilities


def test_a_log_is_decided_as_members_are_served(model, frame, catalog, settings):
    """Given the same draws, each decision of a log has the propensities that the compiled champion gives that member, but for draws that are nearly even."""
    served = Compiled.build(model, catalog, settings, "1")
    index = {arm: i for i, arm in enumerate(served.arm_ids)}
    for i in range(6):
        row, found = frame.iloc[i], policy_probabilities(model, frame.iloc[[i]], settings, seed_of("1", 0))
        assert list(found.arms) == list(row["feasible_arms"])
        known = {row["arm_id"]: {name: row[f"arm_{name}"] for name in ARM_NUMERIC}}
        context = Context(Surface(row["surface"]), row["decided_at"].hour, row["decided_at"].weekday())
        features = {name: row[name] for name in (*MEMBER_CATEGORICAL, *MEMBER_NUMERIC)}
        single = served.with_arms(known, "t").score(features, context, [index[a] for a in row["feasible_arms"]])
        assert np.allclose(found.p, single.p, atol=2 / settings.exploration.draws)


def test_probabilities_of_a_log(model, frame, settings):
    """Ragged by decision: each slice sums to 1 and is at least epsilon / A; means cover every label."""
    some = frame.head(400)
    found = policy_probabilities(model, some, settings, 11)
    assert found.offsets[-1] == len(found.arms) == len(found.p)
    assert np.allclose(np.add.reduceat(found.p, found.offsets[:-1]), 1)
    sizes = np.diff(found.offsets)
    assert (found.p >= np.repeat(settings.exploration.epsilon / sizes, sizes) - 1e-12).all()
    assert found.means.keys() == set(Label)
    assert all(((m > 0) & (m < 1)).all() for m in found.means.values())
    again = policy_probabilities(model, some, settings, 11)
    assert (again.p == found.p).all()


def test_what_is_decided_does_not_depend_on_how_the_log_is_cut(model, frame, settings, monkeypatch):
    """Menu by menu, or all of one length at once; and each decision as by itself."""
    some = frame.head(40)
    whole = policy_probabilities(model, some, settings, 11)
    monkeypatch.setattr(policy, "PAIRS", 30)
    cut = policy_probabilities(model, some, settings, 11)
    alone = [policy_probabilities(model, some.iloc[[i]], settings, 11) for i in (0, 7, 39)]
    for label, mean in whole.means.items():
        assert cut.means[label] == pytest.approx(mean, abs=1e-6)
    assert cut.p == pytest.approx(whole.p, abs=2 / settings.exploration.draws)
    for i, one in zip((0, 7, 39), alone, strict=True):
        own = slice(whole.offsets[i], whole.offsets[i + 1])
        assert list(one.arms) == list(whole.arms[own])
        assert one.p == pytest.approx(whole.p[own], abs=2 / settings.exploration.draws)


def test_decisions_to_come_take_the_arms_as_they_are_given(model, frame, settings):
    """As if the log had known them so on each of its days, whatever it says of an arm itself."""
    some = frame.iloc[[0, len(frame) // 2, len(frame) - 1]].reset_index(drop=True)
    assert some["decided_at"].dt.date.nunique() > 1
    rates = {name: 7.0 + i for i, name in enumerate(ARM_NUMERIC)}
    named = some.assign(arm_id=[menu[-1] for menu in some["feasible_arms"]])
    known = dict.fromkeys(named["arm_id"], rates)
    given = policy_probabilities(model, named, settings, 11, known)
    for i in range(3):
        row = named.iloc[[i]].assign(**{f"arm_{name}": value for name, value in rates.items()})
        found = policy_probabilities(model, row, settings, 11, {row["arm_id"].iloc[0]: rates})
        logged = policy_probabilities(model, row, settings, 11)
        own = slice(given.offsets[i], given.offsets[i + 1])
        for label, mean in found.means.items():
            assert mean == pytest.approx(logged.means[label], abs=1e-6)
            assert mean[-1] == pytest.approx(given.means[label][own][-1], abs=1e-6)
    assert given.means[Label.CLICKED][given.offsets[1] - 1] != policy_probabilities(model, named, settings, 11).means[Label.CLICKED][given.offsets[1] - 1]


def test_the_policy_follows_what_it_learned(model, frame, settings):
    """It avoids the creative after which members leave, and offers recruiters' product where it sells."""
    some = frame.head(1500)
    found = policy_probabilities(model, some, settings, 11)
    owner = np.repeat(np.arange(len(some)), np.diff(found.offsets))
    harmful = np.array([HARMFUL in arm for arm in found.arms])
    uniform = 1 / np.diff(found.offsets)[owner]
    assert found.p[harmful].sum() < 0.2 * uniform[harmful].sum()
    tech = (some["industry"] == "tech").to_numpy()[owner]
    fitting = tech & np.array([arm.startswith("recruiter.") for arm in found.arms])
    assert found.p[fitting].sum() > 2 * uniform[fitting].sum()


def test_unknown_values_and_a_new_arm_are_scored(model, frame, catalog, settings):
    """A member without features, a word never seen and an arm that the catalog does not have still give a distribution."""
    one = frame.head(1).copy()
    one[list(MEMBER_NUMERIC)] = np.nan
    one["industry"] = "never seen"
    one["feasible_arms"] = [[NONE, *catalog.feasible(Surface.WEB, [])[1:4], "retired.arm.id"]]
    found = policy_probabilities(model, one, settings, 1)
    assert found.p.sum() == pytest.approx(1.0)
    assert (found.p > 0).all()


def test_a_single_feasible_arm_is_certain(model, frame, settings):
    """Nothing else to choose from."""
    one = frame.head(1).copy()
    one["feasible_arms"] = [[NONE]]
    assert policy_probabilities(model, one, settings, 1).p == pytest.approx([1.0])


def test_without_a_feasible_arm_nothing_is_decided(model, frame, settings):
    """The log says so; it would be judged by what never was a choice."""
    empty = frame.head(1).copy()
    empty["feasible_arms"] = [[]]
    with pytest.raises(DataError, match="no feasible arm"):
        policy_probabilities(model, empty, settings, 1)


def test_without_a_retention_head_the_rest_decides(model, frame, settings):
    """A label that is not mature yet drops out of the utility."""
    from dataclasses import replace

    young = replace(model, heads={stage: head for stage, head in model.heads.items() if not stage.startswith("retained")})
    assert policy_probabilities(young, frame.head(20), settings, 1).p.sum() == pytest.approx(20)
