"""The loops as machine code: sums by hand, ties, what is not a number, and that they are compiled once a machine."""

import os
import subprocess
import sys
from threading import Thread
from time import sleep

import numba
import numpy as np
import pytest

from training.model import machine_code
from training.model.loops import ALL, FARTHEST, FIRST, NEAR, NONE, Asked, Crossed, Menu, Race, Weights, Worths, ask, contest, exponential
from training.model.machine_code import compiled, named

DRAWS = 3


def singles(*shape, value=0.0):
    """float32 of this shape."""
    return np.full(shape, value, dtype=np.float32)


def room(products, heads, rest=0):
    """Where `ask` writes."""
    asked = Asked(
        odds=singles(products, heads, DRAWS, value=1.0),
        over=singles(products, heads, DRAWS),
        pull=singles(products, rest, DRAWS),
        shift=singles(products, DRAWS),
        nothing=singles(DRAWS),
        alone=singles(heads, DRAWS),
        far=np.zeros(1, dtype=np.int64),
        bits=np.zeros(DRAWS, dtype=np.int32),
    )
    return asked, Race(singles(DRAWS), np.zeros(DRAWS, dtype=np.int32), singles(DRAWS))


def worths(steps, kind, money, against):
    """Of each label: its steps, its kind, its money by product, and whether it counts against nothing shown."""
    kinds = np.array(kind, dtype=np.int64)
    return Worths(np.array(steps, dtype=np.int64).reshape(len(kinds), 3), kinds, np.array(money, dtype=np.float32), np.array(against, dtype=np.bool_))


def uncrossed(heads=1):
    """No words: crosses that change nothing, and nobody's words."""
    return Crossed(singles(1, 1, 0), np.zeros(0, dtype=np.int64), singles(heads, value=1.0)), np.zeros(0, dtype=np.int64)


def menu(rows, product, place, cost=0.0):
    """Arms of the same cost."""
    return Menu(np.array(rows), np.array(product), np.array(place, dtype=np.int32), singles(len(rows), value=cost))


def test_exponentials_are_those_of_numpy():
    """To the last digits of a float32 over its whole span, and cut beyond."""
    x = np.linspace(-80, 80, 200_001, dtype=np.float32)
    found = x.copy()
    exponential(found, np.empty(len(x), dtype=np.int32))
    assert np.abs(found / np.exp(x.astype(np.float64)) - 1).max() < 2e-7
    ends = np.array([-np.inf, np.inf, 1e30, 0.0], dtype=np.float32)
    exponential(ends, np.empty(4, dtype=np.int32))
    assert np.allclose(ends, np.exp([-FARTHEST, FARTHEST, FARTHEST, 0.0]), rtol=2e-7)


def test_one_head_by_hand():
    """Odds 3 alone, and 3 x 2 for the second product, where an arm has odds 1/2: P = 6 / (6 + 2) = 3/4; conversions are paid for what they exceed 3/4 by."""
    weights = Weights(1, 0, np.array([1]), singles(1, 1, DRAWS, value=np.log(3)), singles(1, 1, DRAWS, value=1.0), np.array([0, 1]), singles(2, 1, value=10.0))
    asked, race = room(2, 1)
    paid = worths([[0, -1, -1]], [FIRST], [[10.0, 10.0]], [True])
    ask(np.array([7.0, 1.0]), np.array([[0.0], [np.log(2)]]), weights, paid, asked, race)
    assert np.allclose(asked.alone, 3 / 4)
    assert np.allclose(asked.odds[:, 0], [[3.0] * DRAWS, [6.0] * DRAWS])
    assert np.allclose(asked.over[:, 0], [[30.0] * DRAWS, [60.0] * DRAWS])
    kept = singles(3, DRAWS)
    contest(menu([0, 1, 2], [-1, 0, 1], [0, 1, 2], cost=1.0), singles(3, 1, DRAWS, value=2.0), *uncrossed(), paid, asked, race, kept)
    assert np.allclose(kept.T, [0.0, 10 * (3 / 5 - 3 / 4) - 1, 10 * (3 / 4 - 3 / 4) - 1], atol=1e-6)
    assert race.winner.tolist() == [0] * DRAWS


def test_words_multiply_odds_by_hand():
    """As above with an arm of odds 1/2, which words log 2 and log 3 make 3: P = 6 / (6 + 2 / 6); another arm's words change nothing."""
    weights = Weights(1, 0, np.array([1]), singles(1, 1, DRAWS, value=np.log(3)), singles(1, 1, DRAWS, value=1.0), np.array([0, 1]), singles(2, 1, value=10.0))
    (asked, race), kept = room(2, 1), singles(2, DRAWS)
    paid = worths([[0, -1, -1]], [FIRST], [[10.0, 10.0]], [True])
    ask(np.array([7.0, 1.0]), np.array([[0.0], [np.log(2)]]), weights, paid, asked, race)
    table = singles(2, 5, 1)
    table[1, [1, 4], 0] = np.log(2), np.log(3)
    crossed = Crossed(table, np.array([0]), singles(1, value=1.0))
    contest(menu([1, 0], [1, 1], [0, 1]), singles(2, 1, DRAWS, value=2.0), crossed, np.array([1, 4]), paid, asked, race, kept)
    assert np.allclose(kept.T, [10 * (6 / (6 + 2 / 6) - 3 / 4), 10 * (6 / (6 + 2) - 3 / 4)])


@pytest.mark.parametrize("rest", [0, 1])
def test_steps_by_hand(rest):
    """A label in three steps with odds 1, 3 and 1/3 alone: P = 1/2 x 3/4 + 1/2 x 1/4 = 1/2, and for an arm of E = 3 (1 for heads without odds, whose
    pull is told) 1/4 x 1/2 + 3/4 x 1/10 = 1/5.
    """
    logits = np.log([[[1.0], [3.0], [1 / 3]]]) * np.ones((1, 3, DRAWS))
    weights = Weights(
        3 - rest, 0, np.array([0]), logits.astype(np.float32), singles(0, 3, DRAWS), np.array([0]), np.array([[1.0, 20.0, 20.0]], dtype=np.float32)
    )
    asked, race = room(1, 3, rest)
    split = worths([[0, 1, 2]], [ALL], [[20.0]], [False])
    ask(np.ones(1), np.zeros((1, 0)), weights, split, asked, race)
    assert np.allclose(asked.nothing, 10.0)
    assert not asked.shift.any()
    e = singles(1, 3, DRAWS, value=3.0)
    if rest:
        assert np.allclose(asked.pull, np.log(3))
        e[:, 2] = 9.0  # 1 / (1 + exp(2.2)) = 1/10, as the other way gives
    kept = singles(1, DRAWS)
    contest(menu([0], [0], [0]), e, *uncrossed(3), split, asked, race, kept)
    assert np.allclose(kept, 20 * (1 / 4 * 1 / 2 + 3 / 4 * 1 / 10))


@pytest.mark.parametrize("tilted", [False, True])
def test_a_last_step_that_no_arm_changes_needs_no_table(tilted):
    """Left out of E it gives the bytes that it gives where it stands in it as 0, each over its own denominator; over a common one, the same within rounding."""
    rng = np.random.default_rng(3)
    asked, race = room(2, 3)
    for part in (asked.odds, asked.over, asked.shift):
        part[:] = rng.uniform(0.5, 2.0, part.shape)
    asked.odds[:, 2] = 1.0
    e, split = rng.uniform(0.5, 2.0, (4, 3, DRAWS)).astype(np.float32), worths([[0, 1, 2]], [ALL], [[1.0, 1.0]], [True])
    e[:, 2] = 0.0
    heads = np.array([0, 1] if tilted else [], dtype=np.int64)
    crossed = Crossed(rng.normal(size=(4, 5, len(heads))).astype(np.float32), heads, singles(3, value=1.0))
    found = {}
    for far, table in ((far, table) for far in (0, 1) for table in (e, np.ascontiguousarray(e[:, :2]))):
        asked.far[0], kept = far, singles(4, DRAWS)
        contest(menu([0, 1, 2, 3], [0, 1, 0, 1], [0, 1, 2, 3]), table, crossed, np.array([1, 4]), split, asked, race, kept)
        found[far, table.shape[1]] = kept
    assert found[1, 3].tobytes() == found[1, 2].tobytes()
    assert all(np.allclose(each, found[1, 3], rtol=1e-6, atol=1e-6) for each in found.values())
    assert len(np.unique(found[1, 3])) > DRAWS


@pytest.mark.parametrize(("logit", "of_arms", "far"), [(0.0, 0, 0), (NEAR - 1, 0, 0), (NEAR + 1, 0, 1), (-NEAR - 1, 0, 1), (0.0, 1, 1)])
def test_far_from_even_no_denominators_are_multiplied(logit, of_arms, far):
    """Whether the member is far, or an arm may be; the chances of three steps are right to the last digits of a float32 on both sides, and for arms that meet
    the member half way.
    """
    base, three = np.array([[[logit], [1.0], [-1.0]]]) * np.ones((1, 3, DRAWS)), np.ones((1, 3), dtype=np.float32)
    weights = Weights(3, of_arms, np.array([0]), base.astype(np.float32), singles(0, 3, DRAWS), np.array([0]), three)
    asked, race = room(1, 3)
    split = worths([[0, 1, 2]], [ALL], [[1.0]], [False])
    ask(np.ones(1), np.zeros((1, 0)), weights, split, asked, race)
    assert asked.far.tolist() == [far]
    arms = np.array([[0.0, 0.0, 0.0], [-logit, 2.0, -3.0], [-float(NEAR), NEAR, NEAR], [float(NEAR), -NEAR, -NEAR]])
    kept, e = singles(4, DRAWS), np.exp(-arms)[:, :, None].astype(np.float32) * singles(4, 3, DRAWS, value=1.0)
    contest(menu([0, 1, 2, 3], [0] * 4, [0, 1, 2, 3]), e, *uncrossed(3), split, asked, race, kept)
    i, j, k = (1 / (1 + np.exp(-(arms + np.array([logit, 1.0, -1.0]))))).T
    assert np.allclose(kept.T, i * (j - k) + k, rtol=0, atol=3e-7)


@pytest.mark.parametrize(("against", "shift", "nothing"), [(True, 0.0, 0.0), (False, -5.0, -5.0)])
def test_a_worth_that_no_arm_changes(against, shift, nothing):
    """It cancels where nothing shown is compared with, and is the same for all where it is not."""
    weights = Weights(0, 0, np.array([0]), singles(1, 1, DRAWS), singles(0, 1, DRAWS), np.array([0]), singles(1, 1, value=-10.0))
    asked, race = room(1, 1)
    ask(np.ones(1), np.zeros((1, 0)), weights, worths([[0, -1, -1]], [NONE], [[-10.0]], [against]), asked, race)
    assert asked.shift.tolist() == [[shift] * DRAWS]
    assert asked.nothing.tolist() == [nothing] * DRAWS


def held(utilities, place):
    """Winners among arms of these utilities [A, S], each a product of its own."""
    asked, race = room(len(utilities), 0)
    asked.shift[:] = utilities
    race.best[:] = -np.inf
    arms = range(len(utilities))
    contest(menu(arms, arms, place), singles(len(utilities), 0, DRAWS), *uncrossed(0), worths([], [], [[]], []), asked, race, singles(0, DRAWS))
    return race.winner.tolist()


def test_ties_go_to_the_first_of_the_menu():
    """Whatever the order in which the arms are taken."""
    assert held([[1.0, 2.0, 5.0], [1.0, 3.0, 5.0], [0.0, 3.0, 5.0]], [0, 1, 2]) == [0, 1, 0]
    assert held([[1.0, 2.0, 5.0], [1.0, 3.0, 5.0], [0.0, 3.0, 5.0]], [2, 1, 0]) == [1, 0, 0]


def test_what_is_not_a_number_does_not_win():
    """Nor does it keep others from winning; infinities are numbers, and the place is one of the menu's even where no arm has any."""
    nan, inf = float("nan"), float("inf")
    assert held([[nan, 1.0, -inf], [0.0, nan, -inf], [-1.0, inf, -inf]], [0, 1, 2]) == [1, 2, 0]
    assert held([[nan] * 3, [nan] * 3], [1, 0]) == [0, 0, 0]


def test_other_threads_run_meanwhile():
    """A loop of many arms under many draws, and a thread that goes on counting its naps."""
    arms, draws = 100_000, 4_096
    asked = Asked(
        singles(1, 0, draws),
        singles(1, 0, draws),
        singles(1, 0, draws),
        singles(1, draws),
        singles(draws),
        singles(0, draws),
        np.zeros(1, np.int64),
        np.zeros(0, np.int32),
    )
    race, nothing = Race(singles(draws), np.zeros(draws, dtype=np.int32), singles(draws)), worths([], [], [[]], [])
    many, e, kept = menu(np.zeros(arms, dtype=int), np.zeros(arms, dtype=int), np.arange(arms)), singles(1, 0, draws), singles(0, draws)
    work = Thread(target=contest, args=(many, e, *uncrossed(0), nothing, asked, race, kept))
    work.start()
    counted = 0
    while work.is_alive():
        sleep(0.001)
        counted += 1
    assert counted > 5


COUNT = (
    "import training.model.loops as l, training.model.loops_score as s; "
    "print(sum(sum(f.stats.cache_hits.values()) for f in (l.exponential, l.ask, l.contest, s.handed, s.score)))"
)


CODE = """
LIMIT = 2.0
def cut(x):
    x[0] = min(x[0], LIMIT)
def twice(x):
    cut(x)
    cut(x)
"""


def test_kept_code_is_found_again_only_where_nothing_of_it_changed(monkeypatch):
    """A constant of another file, a flag, or what is called has another name, under which nothing is kept; the same has the same."""

    def names(limit):
        space: dict[str, object] = {}
        exec(CODE, space)  # noqa: S102 - functions whose constants can be changed
        space["LIMIT"] = limit
        cut = space["cut"] = compiled(numba.float32[::1])(space["cut"])
        return cut.py_func.__qualname__, named(space["twice"])

    first = names(2.0)
    assert first == names(2.0)
    assert all(a != b for a, b in zip(first, names(3.0), strict=True))
    monkeypatch.setitem(machine_code.FLAGS, "fastmath", {"contract", "nsz"})
    assert all(a != b for a, b in zip(first, names(2.0), strict=True))


def test_compiled_once_a_machine(tmp_path):
    """A second process takes what the first has made; where nothing can be kept, it is made again."""
    kept = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    assert [subprocess.run([sys.executable, "-c", COUNT], env=kept, check=True, capture_output=True, text=True).stdout for _ in range(2)] == ["0\n", "5\n"]
    space: dict[str, object] = {}
    exec("def double(x):\n    x[0] += x[0]", space)  # noqa: S102 - a function without a file, beside which nothing can be kept
    made, x = compiled(numba.float32[::1])(space["double"]), singles(1, value=2.0)
    made(x)
    assert x.tolist() == [4.0]
