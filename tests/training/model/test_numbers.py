"""Numbers as the network sees them, by hand."""

import numpy as np
import pytest

from training.model.numbers import NumberEncoder, squashed


def fitted(columns, pieces=0):
    """The encoder of a list of columns."""
    arrays = [np.array(c, dtype=np.float64) for c in columns]
    return NumberEncoder.fit(lambda i: arrays[i], len(arrays), pieces)


def test_a_number_is_squashed_scaled_and_cut():
    """0 and e - 1 squash to 0 and 1: mean 0.5, deviation 0.5, so they become -1 and 1; a huge one is cut at 5, a missing one is 0 and marked."""
    encoder = fitted([[0.0, np.e - 1]])
    found = encoder.encode(np.array([[0.0], [np.e - 1], [1e30], [np.nan]]))
    assert np.allclose(found, [[-1, 0], [1, 0], [5, 0], [0, 1]])
    assert encoder.size == 2


@pytest.mark.parametrize("unit", [1e-37, 1e-9, 1.0, 1e9])
def test_small_units_are_scaled_as_large_ones(unit):
    """A share of a millionth says as much as a count; each deviation below 1e-6 was left as it is, and the network saw a constant."""
    found = fitted([[0.0, unit]]).encode(np.array([[0.0], [unit]]))
    assert np.allclose(found, [[-1, 0], [1, 0]])


def test_what_is_equal_but_for_rounding_is_no_variation():
    """0.1 three times as the sum of parts: its last digit must not become a number of its own."""
    found = fitted([[0.3, 0.1 + 0.2, 0.3]]).encode(np.array([[0.3], [0.1 + 0.2]]))
    assert 0.1 + 0.2 != 0.3
    assert np.abs(found).max() < 1e-9


def test_pieces_say_how_much_of_each_lies_below():
    """Two pieces of the squashed values 0, 1, 2: at 1.5 the first is full (0.5) and the second half full (0); a missing number has none of it."""
    encoder = fitted([np.expm1([0.0, 1.0, 2.0])], pieces=2)
    assert encoder.size == 4
    found = encoder.encode(np.array([[np.expm1(1.5)], [np.nan]]))
    assert np.allclose(found[0, 2:], [0.5, 0.0], atol=1e-6)
    assert np.allclose(found[1], [0, 1, 0, 0])


def test_a_column_of_two_values_needs_no_pieces():
    """Nothing lies between 0 and 1; a constant or empty column has none either."""
    encoder = fitted([[0.0, 1.0], [3.0, 3.0], [np.nan, np.nan]], pieces=8)
    assert encoder.edges == ((), (), ())
    assert encoder.encode(np.array([[0.0, 3.0, np.nan]])).shape == (1, 6)


def test_squashing_keeps_sign_and_order():
    """Odd and increasing."""
    x = np.array([-5.0, -1.0, 0.0, 2.0, 9.0])
    assert np.allclose(squashed(-x), -squashed(x))
    assert (np.diff(squashed(x)) > 0).all()
