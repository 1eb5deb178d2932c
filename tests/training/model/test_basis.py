"""Columns for linear models: numbers, and nearness to landmarks."""

import numpy as np
import pytest

from training.model import basis
from training.model.basis import Basis, Landmarks, distances


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
