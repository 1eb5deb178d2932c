"""Alpha over repeated experiments: by hand, in simulated loops, and from the ledger's experiments."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from training.domain.experiment import Experiment, State
from training.evaluation.spending import Spending, next_level

ALPHA = 0.1
AT = datetime(2026, 3, 1, tzinfo=UTC)
FIRST = Experiment("a", "2", "1", State.REJECTED, (0.5,), ((date(2026, 3, 2), 0.5),), 0.02, AT, AT, "")


def levels(outcomes):
    """The level at which each of the tests ran."""
    return [Spending(ALPHA, tuple(outcomes[:i])).level() for i in range(len(outcomes))]


def test_without_promotions_half_of_alpha_is_spent_and_no_more():
    """The sum of all levels comes near START x alpha from below; the first is the largest, gamma_1 = 1 / zeta(1.5) of it."""
    found = levels([False] * 2000)
    assert 0.98 * 0.5 * ALPHA < sum(found) < 0.5 * ALPHA
    assert found[0] == pytest.approx(0.5 * ALPHA / 2.612375)
    assert found == sorted(found, reverse=True)


def test_a_promotion_refills():
    """By hand: before any win, level 3 is gamma_3 alpha / 2; after a win at test 2 it is gamma_3 alpha / 2 + gamma_1 alpha / 2."""
    lost, won = levels([False, False, False]), levels([False, True, False])
    assert won[:2] == lost[:2]
    assert won[2] == pytest.approx(lost[2] + lost[0])
    assert Spending(ALPHA, (False, True)).level() == won[2]


@pytest.mark.parametrize("good", [0.0, 0.3, 0.8])
def test_at_most_alpha_of_all_promotions_are_false(good):
    """300 loops of 60 retrains, a share of them good (found with 80%), the others at the margin (they pass at their level): mean share of false ones."""
    rng = np.random.default_rng(7)
    shares = []
    for _ in range(300):
        promoted, false, true = (), 0, 0
        for better in rng.random(60) < good:
            won = bool(rng.random() < (0.8 if better else Spending(ALPHA, promoted).level()))
            promoted = (*promoted, won)
            true, false = true + (won and better), false + (won and not better)
        shares.append(false / max(true + false, 1))
    assert np.mean(shares) <= ALPHA + 3 * np.std(shares) / np.sqrt(300)


def test_the_ledger_says_what_was_spent():
    """In order of opening; a rolled back promotion refills nothing, a running one is no outcome yet."""
    later = [
        replace(FIRST, experiment_id=name, state=state, opened_at=AT + timedelta(days=i))
        for i, (name, state) in enumerate([("b", State.PROMOTED), ("c", State.STOPPED), ("d", State.ROLLED_BACK), ("e", State.RUNNING)], start=1)
    ]
    assert next_level(ALPHA, []) == Spending(ALPHA).level()
    assert next_level(ALPHA, [*reversed(later), FIRST]) == Spending(ALPHA, (False, True, False, False)).level()
