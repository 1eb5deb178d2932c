"""Calibration and the split, by hand."""

import numpy as np
import pytest

from training.model.calibration import calibrate, covered
from training.model.split import is_holdout


def test_calibration_by_hand():
    """Ten bins of two rows; each pair predicts 0.3 and sees one of two; the immature row does not count."""
    predicted, observed = np.full(21, 0.3), np.array([0.0, 1.0] * 10 + [np.nan])
    found = calibrate("clicked", predicted, observed)
    assert found.rows == 20
    assert found.error == pytest.approx(0.2)
    assert (found.predicted, found.observed) == (pytest.approx(0.3), pytest.approx(0.5))
    assert all(n == 2 and rate == 0.5 for n, _, rate in found.bins)


def test_a_calibrated_forecast_has_no_error():
    """One half of the rows at 0, the other at 1, as predicted."""
    truth = np.repeat([0.0, 1.0], 50)
    assert calibrate("clicked", truth, truth).error == 0.0


def test_no_mature_row():
    """All figures are 0, and there is no bin."""
    found = calibrate("clicked", np.array([0.5]), np.array([np.nan]))
    assert (found.rows, found.error, found.bins) == (0, 0.0, ())


def test_split_is_by_member_stable_and_of_the_stated_size():
    """The same member always falls on the same side; 20,000 members at 0.3 give 0.3 within four standard errors."""
    members = [f"m{i}" for i in range(20_000)]
    held = is_holdout(members, 0.3)
    assert abs(held.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 20_000)
    assert (is_holdout(members[::-1], 0.3)[::-1] == held).all()
    assert (is_holdout([members[0]] * 3, 0.3) == held[0]).all()
    assert is_holdout(members, 0.5)[held].all()
    assert is_holdout([], 0.5).shape == (0,)


def test_the_split_never_changes():
    """Golden: another hash or salt would put former training members into the holdout."""
    assert is_holdout(["a", "b", "c", "d", "e", "f"], 0.5).tolist() == GOLDEN


GOLDEN = [False, True, False, True, True, True]


def test_intervals_that_hold_cover_their_share():
    """2,000 bins of 400 rows whose probabilities scatter exactly as the draws say: 90% hold; with draws that are far too sure, fewer do."""
    rng = np.random.default_rng(3)
    centre, sizes = np.full(2000, 0.1), np.full(2000, 400)
    truth = np.clip(centre + rng.normal(0, 0.03, 2000), 0, 1)
    observed = rng.binomial(sizes, truth) / sizes
    honest = covered("converted", centre + rng.normal(0, 0.03, (400, 2000)), sizes, observed, rng)
    sure = covered("converted", np.tile(centre, (400, 1)), sizes, observed, rng)
    assert honest.bins == 2000
    assert honest.share == pytest.approx(0.9, abs=0.03)
    assert sure.share < 0.6


def test_a_bin_without_rows_does_not_count():
    """It has no rate to hold."""
    found = covered("x", np.array([[0.5, 0.5]]), np.array([0, 10]), np.array([0.0, 0.5]), np.random.default_rng(0))
    assert found.bins == 1
