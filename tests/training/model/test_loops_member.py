"""The member's loops equal the arithmetic that they stand for."""

from __future__ import annotations

import numpy as np

from training.model.loops_member import Layers, encode, enter
from training.model.numbers import NumberEncoder


def test_numbers_are_encoded_as_those_of_training():
    """Missing ones, cut ones, negative ones, none and infinity: the float32 of `NumberEncoder`, to its last digit."""
    raw = np.array([0.0, -0.0, 1.5, -300.0, np.nan, 1e300, -np.inf, np.inf, 7.25])
    encoder = NumberEncoder(tuple(np.linspace(-1, 3, len(raw)).tolist()), tuple(np.linspace(0.5, 2, len(raw)).tolist()))
    found = np.empty(2 * len(raw))
    encode(raw, np.array(encoder.mean), np.array(encoder.deviation), found)
    assert np.allclose(found, encoder.encode(raw[None])[0], rtol=1e-7, atol=0)
    assert found[len(raw) :].tolist() == np.isnan(raw).tolist()


def test_layers_are_those_of_numpy():
    """Two words, numbers of which some are 0, hidden units on both sides of 0."""
    rng = np.random.default_rng(5)
    hidden, said, labels, products = 6, 4, 2, 3
    layers = Layers(*(rng.normal(size=shape) for shape in ((5, 14), (7, 14), (hidden, said), (said,))))
    numbers, words, constant = np.array([0.0, 1.5, -2.0, 0.0, 3.0]), np.array([1, 6]), rng.normal(size=14)
    first = constant + numbers @ layers.dense + layers.table[words].sum(axis=0)
    columns, each = np.empty(1 + said + labels * (1 + products)), np.empty((1 + products, labels))
    enter(numbers, words, layers, constant.copy(), columns, each)
    assert (first[:hidden] > 0).any()
    assert (first[:hidden] < 0).any()
    assert np.allclose(columns, [1.0, *np.tanh(np.maximum(first[:hidden], 0) @ layers.matrix + layers.shift), *first[hidden:]], rtol=1e-12)
    assert np.allclose(each, np.vstack([np.zeros(labels), first[hidden + labels :].reshape(products, labels)]), rtol=1e-12)
