"""The policy: one decision, a whole log, and that both are the same arithmetic."""

from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from tests.fakes.training_frame import HARMFUL
from training.domain.errors import DataError
from training.domain.nouns import NONE, Context, Label, Member, Surface
from training.domain.schema import ARM_NUMERIC, MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.model.policy import Request, decide, policy_probabilities


def asked(row, feasible=None):
    """The request that the row of a training frame answers; arm counts are those of the synthetic log."""
    at = row["decided_at"].to_pydatetime()
    features = {name: row[name] for name in (*MEMBER_CATEGORICAL, *MEMBER_NUMERIC)}
    known = {row["arm_id"]: {name: row[f"arm_{name}"] for name in ARM_NUMERIC}}
    return Request(
        "d", at, Member(row["member_id"], features), Context(Surface(row["surface"]), at.hour, at.weekday()), feasible or list(row["feasible_arms"]), known
    )


def test_a_log_is_decided_as_single_decisions_are(model, frame, catalog, settings):
    """Given the same draws, each decision of a log has the propensities and the support that `decide` gives it alone."""
    for i in range(6):
        one = frame.iloc[[i]]
        found = policy_probabilities(model, one, settings, 11)
        single = decide(model, asked(frame.iloc[i]), catalog, settings, torch.Generator().manual_seed(11))
        assert list(found.arms) == list(single.propensities) == list(one["feasible_arms"].iloc[0])
        assert np.allclose(found.p, list(single.propensities.values()), atol=2 / settings.exploration.draws)


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


def test_unknown_values_and_a_new_arm_are_scored(model, catalog, settings):
    """A member without features, a word never seen and an arm that the catalog does not have still give a distribution."""
    request = Request(
        "d",
        datetime(2026, 3, 1, 12, tzinfo=UTC),
        Member("new", {"industry": "never seen"}),
        Context(Surface.WEB, 12, 6),
        [NONE, *catalog.feasible(Surface.WEB, [])[1:4], "retired.arm.id"],
        excluded={"x": "because"},
    )
    found = decide(model, request, catalog, settings, torch.Generator().manual_seed(1))
    assert set(found.propensities) == set(request.feasible)
    assert found.excluded == {"x": "because"}


def test_a_single_feasible_arm_is_certain(model, frame, catalog, settings):
    """Nothing else to choose from."""
    found = decide(model, asked(frame.iloc[0], [NONE]), catalog, settings, torch.Generator().manual_seed(1))
    assert (found.chosen_arm, found.propensities) == (NONE, {NONE: pytest.approx(1.0)})


def test_without_a_feasible_arm_nothing_is_decided(model, frame, catalog, settings):
    """One decision and a log say so."""
    row = frame.iloc[0]
    with pytest.raises(DataError, match="no feasible arm"):
        decide(model, Request("d", row["decided_at"], Member("m", {}), Context(Surface.WEB, 1, 1), []), catalog, settings, torch.Generator().manual_seed(1))
    empty = frame.head(1).copy()
    empty["feasible_arms"] = [[]]
    with pytest.raises(DataError, match="no feasible arm"):
        policy_probabilities(model, empty, settings, 1)


def test_without_a_retention_head_the_rest_decides(model, frame, catalog, settings):
    """A label that is not mature yet drops out of the utility."""
    from dataclasses import replace

    young = replace(model, heads={stage: head for stage, head in model.heads.items() if not stage.startswith("retained")})
    assert policy_probabilities(young, frame.head(20), settings, 1).p.sum() == pytest.approx(20)
