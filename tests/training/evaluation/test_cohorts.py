from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.cohorts import Sums, difference, sums
from training.evaluation.sequential import planned_error, radius


def test_one_cohort_is_the_difference_of_means():
    """By numpy: means, and the standard error with n - 1."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.normal(0.3, 2.0, 40)
    found = difference(sums(a, np.zeros(50, dtype=np.int64), 1), sums(b, np.zeros(40, dtype=np.int64), 1))
    assert found.value[0] == pytest.approx(b.mean() - a.mean())
    assert found.error[0] == pytest.approx(np.sqrt(a.var(ddof=1) / 50 + b.var(ddof=1) / 40))
    assert (found.control[0], found.treatment[0]) == (50, 40)


def test_a_small_calm_group_does_not_narrow_the_error():
    """By hand: variances 4 of 50 and 0 of 3 rows (pooled 49 x 4 / 51); by its own variance the small group would be certain."""
    a, b = np.tile([-1.98, 1.98], 25), np.ones(3)
    found = difference(sums(a, np.zeros(50, dtype=np.int64), 1), sums(b, np.zeros(3, dtype=np.int64), 1))
    assert found.error[0] == pytest.approx(np.sqrt(49 * a.var(ddof=1) / 51 * (1 / 50 + 1 / 3)))


def test_a_ramp_while_all_rises_is_no_effect():
    """90:10 on a day of 10%, then 50:50 on a day of 30%, no effect on either: pooled means say 8 points, cohorts say 0."""
    control = Sums(np.array([900.0, 500.0]), np.array([90.0, 150.0]), np.array([90.0, 150.0]))
    treatment = Sums(np.array([100.0, 500.0]), np.array([10.0, 150.0]), np.array([10.0, 150.0]))
    assert treatment.y.sum() / 600 - control.y.sum() / 1400 > 0.08
    assert difference(control, treatment).value == pytest.approx([0.0, 0.0], abs=1e-12)


def test_cohorts_too_small_for_a_variance_are_left_out():
    """One member in a group: no interval; later cohorts are not hurt."""
    control = Sums(np.array([1.0, 50.0]), np.array([1.0, 25.0]), np.array([1.0, 25.0]))
    treatment = Sums(np.array([5.0, 50.0]), np.array([5.0, 30.0]), np.array([5.0, 30.0]))
    found = difference(control, treatment)
    assert np.isinf(found.error[0])
    assert found.value[1] == pytest.approx(0.1)
    assert found.control.tolist() == found.treatment.tolist() == [0.0, 50.0]


def test_immature_rows_count_nowhere():
    """NaN is not yet known."""
    assert sums(np.array([1.0, np.nan, 0.0]), np.array([0, 0, 1]), 2).n.tolist() == [1.0, 1.0]


def test_predictions_take_away_what_they_explain():
    """y = x + noise of half its size: the error falls to sqrt(1 - R^2) = sqrt(0.2), and the value stays the effect within 4 errors."""
    rng = np.random.default_rng(3)
    x, noise = rng.normal(size=(2, 40_000))
    treated = rng.random(40_000) < 0.5
    y = x + 0.5 * noise + 0.02 * treated
    cohort = rng.integers(0, 5, 40_000)

    def both(predicted):
        return difference(*(sums(y[mine], cohort[mine], 5, None if predicted is None else predicted[mine]) for mine in (~treated, treated)))

    plain, better = both(None), both(x)
    assert better.error[-1] / plain.error[-1] == pytest.approx(np.sqrt(0.2), rel=0.03)
    assert abs(better.value[-1] - 0.02) < 4 * better.error[-1]
    assert both(np.zeros(40_000)).error[-1] == pytest.approx(plain.error[-1])


def test_rows_of_one_member_are_no_independent_witnesses():
    """Four rows a member that mostly agree, no effect, 30 looks, 300 experiments: members keep alpha 5%, rows taken as independent break it threefold."""
    rng = np.random.default_rng(5)
    members, days = 100, 30
    taste = rng.random((300, 2, days, members)) < 0.5
    rows = np.where(rng.random((300, 2, days, 4, members)) < 0.8, taste[:, :, :, None], rng.random((300, 2, days, 4, members)) < 0.5).astype(float)
    planned = planned_error(0.03, 0.05)

    def passed(values):
        n = np.full((300, days), float(values.shape[-1]))
        a, b = (Sums(n, values[:, g].sum(axis=-1), np.square(values[:, g]).sum(axis=-1)) for g in (0, 1))
        found = difference(a, b)
        return (found.value > radius(found.error, planned, 0.05)).any(axis=1).mean()

    assert passed(rows.mean(axis=3)) < 0.05 + 3 * np.sqrt(0.05 / 300)
    assert passed(rows.reshape(300, 2, days, 4 * members)) > 0.15
