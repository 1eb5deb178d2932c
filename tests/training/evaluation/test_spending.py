from __future__ import annotations

import numpy as np
import pytest

from training.domain.nouns import RuleKind
from training.domain.rules import Rule
from training.evaluation.spending import Spending, watch

ALPHA = 0.1


def levels(outcomes, alpha):
    """The level at which each of the tests ran."""
    return [Spending(alpha, tuple(outcomes[:i])).level() for i in range(len(outcomes))]


def test_without_promotions_little_more_than_half_of_alpha_is_ever_spent():
    """The sum of all levels stays below START x alpha."""
    found = levels([False] * 500, ALPHA)
    assert sum(found) < 0.5 * ALPHA
    assert found == sorted(found, reverse=True)


def test_a_promotion_refills():
    """By hand: before any win, level 3 is gamma_3 alpha / 2; after a win at test 2 it is gamma_3 alpha / 2 + gamma_1 alpha / 2."""
    lost, won = levels([False, False, False], ALPHA), levels([False, True, False], ALPHA)
    assert won[:2] == lost[:2]
    assert won[2] == pytest.approx(lost[2] + lost[0])
    assert Spending(ALPHA, (False, True)).level() == won[2]


@pytest.mark.parametrize("good", [0.0, 0.3, 0.8])
def test_at_most_alpha_of_all_promotions_are_false(good):
    """300 loops of 60 retrains, a share of them good (found with 80%), the others at the margin (they pass at their level): mean share of false ones."""
    rng = np.random.default_rng(7)
    shares = []
    for _ in range(300):
        spending, false, true = Spending(ALPHA), 0, 0
        for better in rng.random(60) < good:
            won = bool(rng.random() < (0.8 if better else spending.level()))
            spending = spending.after(promoted=won)
            true, false = true + (won and better), false + (won and not better)
        shares.append(false / max(true + false, 1))
    assert np.mean(shares) <= ALPHA + 3 * np.std(shares) / np.sqrt(300)


def test_the_holdback_bounds_what_promotions_do_together():
    """Ten promotions of 0.3 points of harm each: within every margin, and 3 points below the holdback in all, which is found."""
    rule = Rule("retained", RuleKind.NON_INFERIOR, 0.005)
    assert watch(rule, (-0.03, 0.005), (2_000, 38_000), 0.05, 0.01).refuted
    assert not watch(rule, (-0.003, 0.005), (2_000, 38_000), 0.05, 0.01).refuted
