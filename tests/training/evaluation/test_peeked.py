from __future__ import annotations

import numpy as np
import pytest

from training.domain.nouns import RuleKind, VerdictKind
from training.domain.rules import Rule
from training.evaluation.peeked import judge_look
from training.evaluation.sequential import multiplier
from training.evaluation.two_groups import judge

RULES = [Rule("bought", RuleKind.SUPERIOR), Rule("stayed", RuleKind.NON_INFERIOR, 0.005)]
GROUP = 45_000


def experiment(seed, bought, stayed, n=GROUP):
    """Both groups, drawn; rates are (control, treatment)."""
    rng = np.random.default_rng(seed)
    return tuple({"bought": (rng.random(n) < b).astype(float), "stayed": (rng.random(n) < s).astype(float)} for b, s in zip(bought, stayed, strict=True))


def verdicts(groups, looks=20):
    """At growing parts of the table."""
    ends = np.linspace(GROUP / looks, GROUP, looks).astype(int)
    return [judge_look(tuple({m: v[:end] for m, v in g.items()} for g in groups), RULES, 0.05, 1.0, 2 * GROUP).kind for end in ends]


@pytest.mark.parametrize("seed", range(8))
def test_a_treatment_that_lowers_retention_by_0_8_points_never_passes(seed):
    """45,000 a group, sales better by half: at none of 20 looks, nor at one fixed look."""
    groups = experiment(seed, (0.010, 0.015), (0.950, 0.942))
    assert VerdictKind.PROMOTE not in verdicts(groups)
    assert judge(*groups, RULES, 0.05).kind is not VerdictKind.PROMOTE


def test_a_better_and_harmless_one_is_promoted_before_the_end():
    """The same sales, retention unchanged: in at least 5 of 8, and the first time before all rows are there."""
    found = [verdicts(experiment(seed, (0.010, 0.016), (0.95, 0.95))) for seed in range(8)]
    promoted = [v.index(VerdictKind.PROMOTE) for v in found if VerdictKind.PROMOTE in v]
    assert len(promoted) >= 5
    assert np.median(promoted) < 19


def test_the_interval_is_the_sequences():
    """By hand: at all planned rows, the difference minus the error times multiplier(1)."""
    groups = experiment(1, (0.01, 0.012), (0.95, 0.95))
    low = judge_look(groups, RULES, 0.05, 1.0, 2 * GROUP).evidence[1].interval[0]
    a, b = (g["stayed"] for g in groups)
    error = np.sqrt(a.var(ddof=1) / GROUP + b.var(ddof=1) / GROUP)
    assert low == pytest.approx(b.mean() - a.mean() - error * float(multiplier(1.0, 0.05)), rel=1e-6)


def test_nothing_varies_and_nothing_passes():
    """All stayed in both groups: no error is known, so nothing is shown."""
    groups = experiment(1, (0.01, 0.012), (1.0, 1.0))
    found = judge_look(groups, RULES, 0.05, 1.0, 2 * GROUP)
    assert found.kind is VerdictKind.HOLD
    assert not found.evidence[1].passed


def test_a_broken_split_holds():
    """45,000 against 42,000 under 1:1."""
    control, treatment = experiment(1, (0.01, 0.02), (0.95, 0.95))
    fewer = {m: v[:42_000] for m, v in treatment.items()}
    assert judge_look((control, fewer), RULES, 0.05, 1.0, 2 * GROUP).kind is VerdictKind.HOLD
    assert judge_look((control, fewer), RULES, 0.05, 42 / 45, 2 * GROUP).evidence[-1].passed
