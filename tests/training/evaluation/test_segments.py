"""Arms by segment, and what each is expected to earn."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from training.config.settings import Settings, UtilitySettings
from training.domain.catalog import load_catalog
from training.evaluation.arm_shares import arm_shares
from training.evaluation.arm_worth import with_worth
from training.evaluation.measured import split_by
from training.evaluation.policy_difference import Log
from training.evaluation.segments import SHOWN_ARMS, segment_arms

ARMS = 8


@pytest.fixture
def log():
    """400 decisions of 100 members, all arms feasible, the first one `none`."""
    rng = np.random.default_rng(2)
    wish = rng.random((400, ARMS))
    wish /= wish.sum(axis=1, keepdims=True)
    uniform = np.full(400 * ARMS, 1 / ARMS)
    taken = rng.integers(0, ARMS, 400)
    return Log(taken, np.full(400, 1 / ARMS), np.arange(400) % 100, np.arange(401) * ARMS, np.tile(np.arange(ARMS), 400), wish.ravel(), uniform)


def test_a_segment_is_what_its_decisions_alone_would_give(log):
    """The arms of a segment are those of the log cut down to it; a segment of fewer than a tenth of the members is left out."""
    rng = np.random.default_rng(3)
    means, observed = {"converted": rng.random(400 * ARMS)}, {"converted": np.where(np.arange(400) % 7 == 0, np.nan, 1.0 * (rng.random(400) < 0.3))}
    country = pd.Series(np.where(log.cluster < 5, "tiny", np.where(log.cluster < 40, "DE", "FR")), name="country")
    names = ["none", *"abcdefg"]
    found = segment_arms(log, names, means, observed, [split_by(country)])
    assert [(s["segment"], s["share"]) for s in found] == [("country DE", 0.35), ("country FR", 0.6)]
    for segment in found:
        mine = (country == segment["segment"].split()[1]).to_numpy()
        alone = arm_shares(log.keep(mine), names, {"converted": means["converted"][log.entries(mine)]}, {"converted": observed["converted"][mine]})
        for arm, expected in zip(segment["arms"], alone[:SHOWN_ARMS], strict=True):
            assert arm["arm"] == expected["arm"]
            for part in ("predicted", "without", "observed"):
                assert arm[part]["converted"] == pytest.approx(expected[part]["converted"])


def test_worth_is_the_utility_term_by_term():
    """Value of the product times the conversions gained, members kept, opt-outs and the message; `none` and arms without a prediction have none."""
    catalog = load_catalog(Settings().catalog)
    known = next(a for a in catalog.arms.values() if catalog.channels[a.channel_id].cost > 0)
    value, cost = catalog.products[known.product_id].value, catalog.channels[known.channel_id].cost
    rates = {"converted": 0.04, "retained": 0.91, "opted_out": 0.002}
    arm = {"arm": known.arm_id, "predicted": rates, "without": {"converted": 0.01, "retained": 0.90, "opted_out": 0.0}}
    arms = [arm, {**arm, "arm": "none"}, {**arm, "predicted": rates | {"retained": None}}, {**arm, "arm": "gone"}]
    with_worth(arms, catalog, UtilitySettings(retention=300.0, opt_out=20.0))
    expected = {"converted": 0.03 * value, "retained": 3.0, "opted_out": -0.04, "cost": -cost}
    assert arms[0]["worth"] == pytest.approx(expected | {"total": sum(expected.values())})
    assert [a["worth"] for a in arms[1:]] == [{}, {}, {}]
