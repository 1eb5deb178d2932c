from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.intervals import Scale, Worst, bounded, clustered, scale

NOTHING = Worst(0.0, 0.0)


def test_two_rows_by_hand():
    """0 and 2: mean 1, standard error 1, one degree of freedom, t = 12.706."""
    low, high = clustered(np.array([0.0, 2.0]), np.arange(2), 0.05, NOTHING)
    assert (low, high) == pytest.approx((1 - 12.7062, 1 + 12.7062), abs=1e-4)


def test_many_rows_are_the_normal_interval():
    """With 10,000 well-behaved rows the interval is mean +- 1.96 standard errors."""
    values = np.random.default_rng(1).normal(size=10_000)
    low, high = clustered(values, np.arange(10_000), 0.05, NOTHING)
    half = 1.96 * values.std() / 100
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=1e-4)


def test_copies_within_a_cluster_add_nothing():
    """Ten copies of each row in one cluster give the interval of the rows themselves; taken as independent they would seem to know more."""
    values = np.random.default_rng(2).normal(size=200)
    ten = np.repeat(values, 10)
    once = clustered(values, np.arange(200), 0.05, NOTHING)
    assert clustered(ten, np.repeat(np.arange(200), 10), 0.05, NOTHING) == pytest.approx(once)
    apart = clustered(ten, np.arange(2000), 0.05, NOTHING)
    assert np.diff(apart)[0] < 0.4 * np.diff(once)[0]


def test_a_worst_row_has_as_many_copies_as_the_clusters_show():
    """Ten copies of each row: the worst row has ten as well. Where one row of each ten carries all, it stays one, whatever a whole cluster would be."""
    values = np.tile([-1.0, 1.0, -3.0, 3.0], 10)
    member = np.repeat(np.arange(40), 10)
    once = clustered(values, np.arange(40), 0.05, Worst(-2.0, 5.0))
    assert clustered(np.repeat(values, 10), member, 0.05, Worst(-2.0, 5.0, 10.0)) == pytest.approx(once)
    lonely = np.where(np.arange(400) % 10, 0.0, np.repeat(values, 10))
    assert clustered(lonely, member, 0.05, Worst(-2.0, 5.0, 10.0)) == pytest.approx([end / 10 for end in once])


def test_one_cluster_knows_no_error():
    """Nothing to compare with: no end can be given."""
    assert clustered(np.array([1.0, 2.0]), np.zeros(2, dtype=np.int64), 0.05, NOTHING) == (-np.inf, np.inf)


def test_a_row_that_carries_everything_costs_degrees_of_freedom():
    """Same variance, but held by one row: two degrees of freedom (t = 4.30), so the interval is twice as wide."""
    even = np.tile([-1.0, 1.0], 500)
    heavy = np.zeros(1000)
    heavy[0] = np.sqrt(1000)
    assert np.diff(clustered(heavy, np.arange(1000), 0.05, NOTHING))[0] > 2 * np.diff(clustered(even, np.arange(1000), 0.05, NOTHING))[0]


@pytest.mark.parametrize("unit", [1e-3, 1e3])
def test_degrees_of_freedom_have_no_unit(unit):
    """What is measured in thousandths has an interval a thousandth as wide, also where one row carries nearly everything."""
    values = np.array([0.1, -0.1] * 20 + [3.0, -1.0])
    once = clustered(values, np.arange(42), 0.05, Worst(-0.2, 0.3))
    assert clustered(unit * values, np.arange(42), 0.05, Worst(-0.2 * unit, 0.3 * unit)) == pytest.approx([unit * end for end in once])


def test_constant_values_keep_the_width_of_the_worst_row():
    """100 zeros and a worst case of 1: only the upper end moves, by 1 row and its error."""
    low, high = clustered(np.zeros(100), np.arange(100), 0.05, Worst(0.0, 1.0))
    assert low == 0.0
    assert 0.02 < high < 0.2


def test_scale_and_bounds():
    """0/1 rewards are bounded, others are not; a constant keeps a range that includes 0."""
    assert scale(np.zeros(3)) == Scale(0.0, 1.0, binary=True)
    assert scale(np.array([0.0, 1.0, 0.5])) == Scale(0.0, 1.0, binary=False)
    assert scale(np.full(3, 7.0)) == Scale(0.0, 7.0, binary=False)
    assert bounded((-0.5, 0.4), 0.1, Scale(0.0, 1.0, binary=True), (0.9, 0.2)) == pytest.approx((0.0, 0.6))
    assert bounded((0.9, 1.9), 1.5, Scale(0.0, 1.0, binary=True)) == (0.9, 1.5)
    assert bounded((-0.5, 0.4), 0.1, Scale(0.0, 1.0, binary=False)) == (-0.5, 0.4)
