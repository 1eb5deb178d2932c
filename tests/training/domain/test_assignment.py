"""Places of members."""

import numpy as np
from scipy import stats

from training.domain.assignment import chosen, place


def test_places_are_uniform_and_salts_independent():
    """By Kolmogorov's test, and by the correlation of two salts."""
    one, two = (np.array([place(salt, f"m{i}") for i in range(5000)]) for salt in ("a", "b"))
    assert stats.kstest(one, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05


def test_a_larger_share_moves_nobody_out():
    """And the place of a member is known for good."""
    small, large = ({i for i in range(1000) if chosen("s", f"m{i}", share)} for share in (0.1, 0.25))
    assert small < large
    assert round(place("salt", "m0000017"), 6) == 0.882333
