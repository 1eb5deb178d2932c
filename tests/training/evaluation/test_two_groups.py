from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from training.domain.nouns import RuleKind, VerdictKind
from training.domain.rules import Rule
from training.evaluation.two_groups import difference_interval, judge, newcombe, sample_ratio, welch, wilson

BOUGHT = Rule("bought", RuleKind.SUPERIOR)
STAYED = Rule("stayed", RuleKind.NON_INFERIOR, 0.005)


def share(rate, n):
    """n zeros and ones with that share of ones."""
    return (np.arange(n) < round(rate * n)).astype(float)


def experiment(bought, stayed, n=45_000):
    """Both groups with given rates (control, treatment) of the two metrics."""
    return tuple({"bought": share(b, n), "stayed": share(s, n)} for b, s in zip(bought, stayed, strict=True))


def test_newcombe_as_published():
    """Newcombe 1998, table II, case (a), method 10: 56/70 - 48/80 is [0.0524, 0.3339] at 95%."""
    assert newcombe(48, 80, 56, 70, 0.025) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_only_zeros_and_ones_are_rates():
    """Two groups of zeros and ones get Newcombe's interval; where either holds another value both get Welch's."""
    zero_one, other = share(0.3, 40), np.append(share(0.3, 39), 0.5)
    assert difference_interval(zero_one, share(0.5, 40), 0.05) == newcombe(12, 40, 20, 40, 0.05)
    for groups in ((zero_one, other), (other, zero_one), (other, other)):
        assert difference_interval(*groups, 0.05) == welch(*groups, 0.05)


def test_wilson_as_scipy():
    """The same interval as scipy's, and no zero width at 0 of 10."""
    low, high = wilson(3, 10, 0.025)
    reference = stats.binomtest(3, 10).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((reference.low, reference.high))
    assert wilson(0, 10, 0.025) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_welch_as_scipy():
    """The interval of scipy's Welch test, where sizes are equal or the smaller group varies more."""
    rng = np.random.default_rng(0)
    for a, b in ((rng.normal(0, 1, 40), rng.normal(1, 3, 40)), (rng.normal(0, 3, 30), rng.normal(1, 1, 50))):
        reference = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.9)
        assert welch(a, b, 0.05) == pytest.approx((reference.low, reference.high))


def test_a_small_calm_group_does_not_narrow_the_interval():
    """By hand: 2 rows of variance 1/2 and 4 of variance 4 have the pooled variance (1/2 + 12) / 4 = 3.125, so 3.125 (1/2 + 1/4) > 1/4 + 4/4."""
    a, b = np.array([0.0, 1.0]), np.array([-3.0, -1.0, 1.0, 3.0]) * np.sqrt(0.6)
    freedom = 1.25**2 / (0.25**2 / 1 + 1.0**2 / 3)
    half = stats.t.isf(0.05, freedom) * np.sqrt(3.125 * 0.75)
    assert welch(a, b, 0.05) == pytest.approx((-0.5 - half, -0.5 + half))


@pytest.mark.parametrize(("sizes", "factor", "margin"), [((200, 2000), 1.0, 0.0), ((2000, 200), 1.0, 0.0), ((200, 2000), 0.8, 0.2)])
def test_rare_amounts_in_a_small_group_do_not_pass_by_chance(sizes, factor, margin):
    """5% of rows have an amount of mean 20. At the threshold a rule passes in at most 6% of 500 experiments; by the small group's own variance it was 17%."""
    rng = np.random.default_rng(21)

    def spend(n, times):
        return times * 20 * (rng.random(n) < 0.05) * np.exp(rng.normal(size=n) - 0.5)

    passed = sum(welch(spend(sizes[0], 1.0), spend(sizes[1], factor), 0.05)[0] > -margin for _ in range(500))
    assert passed <= 30


@pytest.mark.parametrize("size", [1e-320, 1e-200, 1e200, 1.7e308])
def test_numbers_of_any_size_are_judged_alike(size):
    """The interval of size x data is size x the interval, without overflow or division by 0."""
    rng = np.random.default_rng(3)
    one, two = (np.round(rng.random(50) * 64) / 64 for _ in range(2))
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        plain, scaled = (judge({"m": one * f}, {"m": two * f}, [Rule("m", RuleKind.SUPERIOR)], 0.05).evidence[0] for f in (1.0, size))
    assert scaled.value == pytest.approx(plain.value * size, rel=1e-2)
    assert scaled.interval == pytest.approx(tuple(end * size for end in plain.interval), rel=1e-2)


@pytest.mark.parametrize(("rows", "kind"), [(9, VerdictKind.HOLD), (10, VerdictKind.PROMOTE)])
def test_fewer_than_ten_rows_hold(rows, kind):
    """All of one group bought and none of the other: at 9 rows nothing passes and the reason is said, at 10 it is a promotion."""
    none, every = {"bought": np.zeros(rows), "stayed": np.ones(rows)}, {"bought": np.ones(rows), "stayed": np.ones(rows)}
    found = judge(none, every, [BOUGHT, Rule("stayed", RuleKind.NON_INFERIOR, 0.5)], 0.05)
    assert found.kind is kind
    assert [e.passed for e in found.evidence] == [rows == 10, rows == 10, True]
    assert ("fewer than" in found.reason) == (rows == 9)
    assert ("fewer than 10 rows (9 control, 9 treatment)" in found.reason) == (rows == 9)


def test_fewer_than_ten_rows_refute_nothing():
    """Nor is a treatment rejected on them."""
    found = judge({"bought": np.ones(9)}, {"bought": np.zeros(9)}, [BOUGHT], 0.05)
    assert (found.kind, found.evidence[0].refuted) == (VerdictKind.HOLD, False)
    assert "fewer than 10 rows" in found.evidence[0].note


def test_one_small_group_is_named():
    """Nine against a thousand, one planned for each 111: the smaller one decides that there is too little."""
    found = judge({"bought": np.zeros(9)}, {"bought": np.ones(1_000)}, [BOUGHT], 0.05, ratio=1_000 / 9)
    assert (found.kind, found.evidence[0].passed) == (VerdictKind.HOLD, False)
    assert "fewer than 10 rows (9 control, 1000 treatment)" in found.reason


def test_too_little_for_an_interval():
    """One row, or the same constant everywhere, says nothing of the error."""
    assert welch(np.array([5.0]), np.array([1.0, 9.0]), 0.05) == (-np.inf, np.inf)
    assert welch(np.array([1.0, 9.0]), np.array([5.0]), 0.05) == (-np.inf, np.inf)
    assert welch(np.full(9, 5.0), np.full(9, 5.0), 0.05) == (-np.inf, np.inf)


def test_a_constant_group_is_not_certain():
    """All-zero spend in one group has the error of a group with one row at each end of the pooled range: (1/4 + 1/4) / 3 x 6^2 ... by numpy."""
    low, high = welch(np.zeros(10), np.array([0.0, 6.0] * 5), 0.05)
    assert low < 3.0 < high
    part = np.var([*[0.0] * 10, 0.0, 6.0], ddof=1) / 10
    whole = part + np.var([0.0, 6.0] * 5, ddof=1) / 10
    assert high - low > 2 * 1.64 * whole**0.5


def test_a_better_and_harmless_treatment_is_promoted():
    """1.0% to 1.4% bought, retention unchanged."""
    found = judge(*experiment((0.010, 0.014), (0.95, 0.95)), [BOUGHT, STAYED], 0.05)
    assert found.kind is VerdictKind.PROMOTE
    assert [e.passed for e in found.evidence] == [True, True, True]
    assert (found.control, found.treatment) == (45_000, 45_000)


def test_a_treatment_that_loses_members_is_rejected():
    """It sells more and loses 0.8 points of retention, with a margin of 0.5: refuted at 45,000 a group."""
    found = judge(*experiment((0.010, 0.014), (0.950, 0.942)), [BOUGHT, STAYED], 0.05)
    assert found.kind is VerdictKind.REJECT
    assert found.evidence[1].refuted


def test_too_few_rows_hold():
    """The same rates at 500 a group show nothing."""
    assert judge(*experiment((0.010, 0.014), (0.95, 0.95), 500), [BOUGHT, STAYED], 0.05).kind is VerdictKind.HOLD


def test_nobody_bought_is_not_a_pass():
    """Constant metrics: no difference is shown, and the guardrail's width at 100 a group is far above its margin."""
    found = judge(*experiment((0.0, 0.0), (1.0, 1.0), 100), [BOUGHT, STAYED], 0.05)
    assert found.kind is VerdictKind.HOLD
    assert not any(e.passed for e in found.evidence[:2])


def test_a_broken_split_holds_whatever_the_rest_says():
    """45,000 against 44,000 has p = 0.0008 under 1:1; neither promotion nor rejection can be trusted, unless that split was planned."""
    for stayed in ((0.95, 0.95), (0.95, 0.90)):
        control, treatment = experiment((0.010, 0.014), stayed)
        fewer = {name: values[::-1][:44_000] for name, values in treatment.items()}
        found = judge(control, fewer, [BOUGHT, STAYED], 0.05)
        assert found.kind is VerdictKind.HOLD
        assert "sample ratio" in found.reason
        assert judge(control, fewer, [BOUGHT, STAYED], 0.05, 44 / 45).evidence[-1].passed


@pytest.mark.parametrize(("control", "treatment"), [(45_000, 44_000), (1000, 1147), (1000, 1170), (5, 5), (3, 20), (10, 10_000)])
def test_the_sample_ratio_is_the_chi_squared_test(control, treatment):
    """The 99.9% interval holds 0 exactly where Pearson's p is at least 0.001."""
    p = stats.chisquare([control, treatment]).pvalue
    assert sample_ratio(control, treatment, 1.0).passed == (p >= 0.001)


def test_opt_outs_are_better_when_they_fall():
    """Turned round, so that evidence reads "larger is better"."""
    rule = Rule("left", RuleKind.NON_INFERIOR, 0.002, lower_is_better=True)
    worse = judge({"left": share(0.01, 40_000)}, {"left": share(0.02, 40_000)}, [rule], 0.05).evidence[0]
    assert worse.refuted
    assert worse.value == pytest.approx(-0.01)


def test_the_error_rate_at_the_margin_is_alpha():
    """A treatment exactly at the margin (95.0% to 94.5%) passes in about 5% of 2,000 experiments."""
    rng = np.random.default_rng(8)
    n = 4000
    passed = sum(newcombe(a, n, b, n, 0.05)[0] > -0.005 for a, b in zip(rng.binomial(n, 0.95, 2000), rng.binomial(n, 0.945, 2000), strict=True))
    assert 0.035 < passed / 2000 < 0.065
