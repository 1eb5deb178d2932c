"""Columns for linear models: numbers, and nearness to landmarks."""

import numpy as np
import pytest
import torch

from training.model import basis
from training.model.basis import Basis, CodeEncoder, Landmarks, distances
from training.model.disjoint import Disjoint


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
    assert found.blocks[:3] == (1, 2, 0)
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


def test_grades_stand_beside_their_codes():
    """A column of the values 1, 2 and 10 is in the block of grades from -0.5 to 0.5; missing is 0, 6 is halfway between 2 and 10, 99 is the last. One of
    many values is none.
    """
    grades = np.repeat([1.0, 2.0, 10.0], [3, 2, 3])
    found = Basis.fit(np.stack([np.arange(8.0), grades], axis=1), 2, np.random.default_rng(2))
    assert found.blocks[2] == 1
    columns = found.columns(np.stack([np.zeros(6), [1.0, 2.0, 10.0, np.nan, 6.0, 99.0]], axis=1))
    assert columns[:, sum(found.blocks[:2])].tolist() == [-0.5, 0.0, 0.5, 0.0, 0.25, 0.5]


def test_too_many_numbers_leave_no_room_for_grades(monkeypatch):
    """Where principal components stand for the numbers, the block is empty."""
    monkeypatch.setattr(basis, "MOST_NUMBERS", 2)
    found = Basis.fit(np.repeat([[0.0], [1.0], [2.0]], 4, axis=0), 5, np.random.default_rng(2))
    assert found.blocks[1:3] == (2, 0)
    assert found.columns(np.zeros((1, 1))).shape == (1, sum(found.blocks))


def test_a_grade_that_was_never_seen_is_judged_by_its_order():
    """Of grades from 1 to 10, 9 is missing among 90 answers of which the upper half was right; it is no code that is known."""
    grades = np.tile([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0], 10)
    found, answers = Basis.fit(grades[:, None], 5, np.random.default_rng(2)), torch.from_numpy((grades > 5).astype(float))
    phi, arm = torch.from_numpy(found.columns(grades[:, None])), torch.zeros(90, dtype=torch.int64)
    rows = Disjoint.empty(found.blocks, 1).learned(phi, arm, answers)
    for _ in range(20):
        rows = rows.tuned(rows.beliefs())
    mean, _ = rows.beliefs().predict(torch.from_numpy(found.columns(np.array([[9.0], [0.0]]))))
    assert mean[0, 0] > 0.8
    assert mean[1, 0] < 0.2


def test_a_rule_of_codes_is_linear_in_the_basis():
    """Whether a code is even is a sum of columns: least squares without landmarks fits it exactly, where the code as a number fits nothing."""
    raw = np.random.default_rng(1).integers(0, 8, size=(200, 1)).astype(float)
    found = Basis.fit(raw, 2, np.random.default_rng(2))
    phi, label = found.columns(raw)[:, : 1 + found.blocks[1]], (raw[:, 0] % 2 == 0).astype(float)
    assert np.allclose(phi @ np.linalg.lstsq(phi, label, rcond=None)[0], label)


@pytest.mark.parametrize("rows", [2, 32, 250])
def test_the_components_of_few_rows_are_found_by_their_own_products(monkeypatch, rows):
    """As those of the columns' products are: the same where rows tell them, and orthogonal to all rows where they do not. It cost 7 s for 2,000 columns."""
    raw, sizes, eigh = np.random.default_rng(1).normal(size=(rows, 400)), [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda matrix: sizes.append(len(matrix)) or eigh(matrix))
    found = Basis.fit(raw, 5, np.random.default_rng(2))
    assert max(sizes) <= rows
    encoded = found.encoder.encode(raw)[:, found.varies]
    before = eigh(encoded.T @ encoded)[1][:, -basis.MOST_NUMBERS :]
    assert found.rotation.shape == before.shape == (400, 200)
    assert np.allclose(found.rotation.T @ found.rotation, np.eye(200), atol=1e-10)
    told = min(rows - 1, 200)  # rows of mean 0; the others are arbitrary in both
    assert np.allclose(found.rotation[:, -told:] @ found.rotation[:, -told:].T, before[:, -told:] @ before[:, -told:].T, atol=1e-8)
    assert np.allclose(np.abs(encoded @ found.rotation), np.abs(encoded @ before), atol=1e-6)
