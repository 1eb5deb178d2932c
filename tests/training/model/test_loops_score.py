"""A decision in one call of machine code is what its parts are, one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from training.model.loops import FIRST, Asked, Crossed, Menu, Race, Weights, Worths, ask, contest
from training.model.loops_member import Layers, encode, enter
from training.model.loops_score import Room, handed, score

DRAWS, ARMS, PRODUCTS, LABELS, SAID, HIDDEN, NUMBERS, WORDS = 64, 9, 2, 3, 4, 5, 6, 7
EPSILON = 0.02


def doubles(rng, *shape):
    """float64 of this shape."""
    return rng.normal(size=shape)


def singles(rng, *shape):
    """Positive float32 of this shape."""
    return rng.uniform(0.2, 2.0, shape).astype(np.float32)


@pytest.fixture(params=[True, False], ids=["raw", "encoded"])
def parts(request):
    """Tables of random weights, of one head that every arm reads; numbers that are encoded within, and before."""
    rng, entering = np.random.default_rng(3), 2 * NUMBERS
    first = HIDDEN + LABELS * (1 + PRODUCTS)
    layers = Layers(doubles(rng, entering, first), doubles(rng, WORDS, first), doubles(rng, HIDDEN, SAID), doubles(rng, SAID))
    weights = Weights(1, 0, np.array([0, 2]), singles(rng, 2, 1, DRAWS), singles(rng, LABELS, 1, DRAWS), np.array([1, 2]), singles(rng, PRODUCTS, 1))
    paid = Worths(np.array([[0, -1, -1]]), np.array([FIRST]), singles(rng, 1, PRODUCTS), np.array([True]))
    shapes = ((PRODUCTS, 1), (PRODUCTS, 1), (PRODUCTS, 0), (PRODUCTS,), (), (1,))
    asked = Asked(*(np.ones((*shape, DRAWS), dtype=np.float32) for shape in shapes), np.zeros(1, dtype=np.int64), np.zeros(DRAWS, dtype=np.int32))
    race = Race(np.zeros(DRAWS, dtype=np.float32), np.zeros(DRAWS, dtype=np.int32), np.zeros(DRAWS, dtype=np.float32))
    crossed = Crossed(singles(rng, ARMS, WORDS, 1), np.array([0]), np.ones(1, dtype=np.float32))
    scale = (doubles(rng, NUMBERS), 1.0 + rng.random(NUMBERS)) if request.param else (np.empty(0), np.empty(0))
    room = Room(np.empty(entering), np.empty(first), np.empty(1 + SAID + first - HIDDEN), np.empty((1 + PRODUCTS, LABELS)), np.empty(ARMS, dtype=np.int64))
    e, unkept = singles(rng, ARMS, 1, DRAWS), np.empty((0, DRAWS), dtype=np.float32)
    return rng, scale, (layers, weights, e, crossed, paid, asked, race, unkept, room)


def test_one_call_is_its_parts(parts):
    """The same draws won, for each of twenty members and menus; each probability is the share of the draws and the floor."""
    rng, scale, (layers, weights, e, crossed, paid, asked, race, unkept, room) = parts
    tables, won = handed(*scale, layers, weights, e, crossed, paid, asked, race, unkept, room), set[int]()
    for _ in range(20):
        count = int(rng.integers(1, ARMS + 1))
        order = rng.permutation(count).astype(np.int32)
        rows = np.sort(rng.permutation(ARMS)[:count])
        arms = Menu(rows, np.where(rows == 0, -1, rows % PRODUCTS), order, singles(rng, count) / 10)
        raw, words, constant = doubles(rng, NUMBERS if len(scale[0]) else 2 * NUMBERS), rng.integers(0, WORDS, 3), doubles(rng, len(room.first))
        p = np.empty(count)
        score(raw, words, constant, arms, tables, EPSILON, p)
        numbers, columns, each = np.empty(2 * NUMBERS), np.empty_like(room.columns), np.empty_like(room.each)
        if len(scale[0]):
            encode(raw, *scale, numbers)
        else:
            numbers[:] = raw
        enter(numbers, words, layers, constant.copy(), columns, each)
        ask(columns, each, weights, paid, asked, race)
        contest(arms, e, crossed, words, paid, asked, race, unkept)
        wins = np.bincount(race.winner, minlength=count)
        assert (p == (1 - EPSILON) * wins / DRAWS + EPSILON / count).all()
        won |= {int(place) for place in race.winner}
    assert len(won) > 3
