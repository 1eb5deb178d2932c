"""Columns for linear models: numbers, and nearness to landmarks."""

import numpy as np
import pytest

from training.model import basis
from training.model.basis import Basis, CodeEncoder, Landmarks, distances


def test_distances_by_hand():
    """(0, 0) and (3, 4) are 25 apart, squared."""
    assert distances(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[25.0, 0.0]]


def test_products_of_columns_are_the_kernel():
    """Between landmarks exactly: k = exp(-|x - m|^2 / 2 s), with s half the median squared distance, here (1, 4, 9) / 2."""
    rows = np.array([[0.0], [1.0], [3.0]])
    found = Landmarks.fit(rows)
    assert found.square == 2.0
    columns = found.columns(rows)
    assert np.allclose(columns @ columns.T, np.exp(-((rows - rows.T) ** 2) / 4))


def test_equal_landmarks_are_one_direction():
    """Five members who are all the same tell one thing, and nothing is divided by zero."""
    found = Landmarks.fit(np.ones((5, 2)))
    assert found.whitening.shape == (5, 1)
    assert np.isfinite(found.columns(np.zeros((1, 2)))).all()


def test_blocks_are_the_columns():
    """A constant, the columns that vary (a constant one and never-missing marks are left out), the landmarks; missing is no NaN."""
    raw = np.random.default_rng(1).normal(size=(40, 3))
    raw[:, 1] = 7.0
    found = Basis.fit(raw, 10, np.random.default_rng(2))
    assert found.blocks[:2] == (1, 2)
    raw[0, 0] = np.nan
    columns = found.columns(raw)
    assert columns.shape == (40, sum(found.blocks))
    assert np.isfinite(columns).all()
    assert (columns[:, 0] == 1).all()


def test_many_numbers_become_components(monkeypatch):
    """With room for two columns, three numbers of which two are one enter without loss."""
    monkeypatch.setattr(basis, "MOST_NUMBERS", 2)
    raw = np.random.default_rng(1).normal(size=(50, 3))
    raw[:, 2] = raw[:, 0]
    found = Basis.fit(raw, 5, np.random.default_rng(2))
    assert found.blocks[1] == 2
    encoded = found.encoder.encode(raw)[:, found.varies]
    assert np.linalg.norm(found.columns(raw)[:, 1:3]) == pytest.approx(np.linalg.norm(encoded), rel=1e-5)


def test_codes_are_told_apart_and_not_ordered():
    """Three values, each twice, stand in three columns of 0 and 1 and the number is gone; a value that was not seen, or is missing, is in none of them."""
    found = CodeEncoder.fit(np.array([[0.0], [1.0], [5.0], [5.0], [0.0], [1.0]]))
    assert found.encode(np.array([[0.0], [5.0], [2.0], [np.nan]])).tolist() == [[0, 0, 1, 0, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]


@pytest.mark.parametrize("column", [[0.0, 1.0] * 20, list(range(13)) * 4, [0.0, 1.0, 2.0, 2.5, 2.5]])
def test_other_numbers_stay_numbers(column):
    """Two values are a number as well, thirteen are many, and four in five rows may be any number: nothing but the number and whether it is missing."""
    assert CodeEncoder.fit(np.array(column)[:, None].astype(float)).encode(np.array([[1.0]])).shape == (1, 2)


def test_a_rule_of_codes_is_linear_in_the_basis():
    """Whether a code is even is a sum of columns: least squares without landmarks fits it exactly, where the code as a number fits nothing."""
    raw = np.random.default_rng(1).integers(0, 8, size=(200, 1)).astype(float)
    found = Basis.fit(raw, 2, np.random.default_rng(2))
    phi, label = found.columns(raw)[:, : 1 + found.blocks[1]], (raw[:, 0] % 2 == 0).astype(float)
    assert np.allclose(phi @ np.linalg.lstsq(phi, label, rcond=None)[0], label)
