"""The loops over products, arms and draws of a compiled champion, as machine code: one pass, in which nothing is kept of an arm but whether it is the best.

numba compiles them once for the types that `kernel` gives (see `machine_code`). Other threads run
meanwhile. One core, and no sum is reordered, so the same machine gives the same bytes. Draws lie side by side, and every inner loop runs over them.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from training.model.machine_code import compiled, record

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FARTHEST = np.float32(80.0)
"""Log odds at which a member's are cut: with an arm's of at most `compiled_heads.WIDEST`, the probability is within 1e-8 of 0 or 1 there."""
NEAR = np.float32(24.0)
"""Log odds up to which three denominators are multiplied: e^72 times money up to 1e6 has room in a float32. A probability is within 4e-11 of 0 or 1 there."""
ZERO, HALF, ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
PER_LN2, LN2_HIGH, LN2_LOW = np.float32(1.4426950408889634), np.float32(0.693359375), np.float32(-2.12194440e-4)
"""1 / ln 2, and ln 2 in two parts: the product of the first with a small integer is exact (Cody and Waite 1980, "Software Manual", chapter 6)."""
E2, E3, E4, E5, E6, E7 = (np.float32(c) for c in (5.0000001201e-1, 1.6666665459e-1, 4.1665795894e-2, 8.3334519073e-3, 1.3981999507e-3, 1.9875691500e-4))
"""exp(r) = 1 + r + r^2 (E2 + E3 r + ... + E7 r^5) within 1e-7 for |r| <= ln 2 / 2 (Moshier's Cephes library, `expf`)."""
MANTISSA, BIAS = np.int32(23), np.int32(127)
"""Bits of a float32 below its exponent, and what is added to the exponent."""
FIRST, ALL, NONE = 0, 1, 2
"""Kinds of a worth: its first step alone differs between arms, what follows it too, nothing does."""


class Weights(NamedTuple):
    """Of H heads under S draws, the first `odds` of which have odds: weights of the base columns `columns` of phi, [b, H, S], and of what products add,
    [L, H, S]; the codes `known` of the P products; `money` [P, H] that a head's probability is multiplied with. `far` is 1 where log odds of an arm may be
    beyond NEAR.
    """

    odds: int
    far: int
    columns: Ints
    base: Singles
    each: Singles
    known: Ints
    money: Singles


class Worths(NamedTuple):
    """Of each worth its heads `steps` [W, 3] (-1 where it has one step), its kind, its `money` [W, P], and whether it counts `against` nothing shown."""

    steps: Ints
    kind: Ints
    money: Singles
    against: npt.NDArray[np.bool_]


class Asked(NamedTuple):
    """What one member adds, by product and head [P, H, S]: a head's probability under an arm is `over` / (E + `odds`), money included, with the arm's E, which
    is 0 for heads that read no arm. `pull` [P, L, S] are negative logits of heads without odds; `shift` [P, S] is added to all arms of a product;
    `nothing` [S] is the utility of `none`; `alone` [H, S] are the probabilities where nothing is shown; `far` [1] is 1 where any log odds, of member or arm,
    may be beyond NEAR; `bits` [S] is scratch.
    """

    odds: Singles
    over: Singles
    pull: Singles
    shift: Singles
    nothing: Singles
    alone: Singles
    far: Ints
    bits: npt.NDArray[np.int32]


class Crossed(NamedTuple):
    """What a word changes of an arm's logit, `table` [rows, W, T], in the `heads` [T]; `tilt` [H] is scratch, 1 where a head has no crosses."""

    table: Singles
    heads: Ints
    tilt: Singles


class Menu(NamedTuple):
    """Of each arm [A]: its row in the table of E, product (-1 for `none`), place in the menu and cost."""

    rows: Ints
    product: Ints
    place: npt.NDArray[np.int32]
    cost: Singles


class Race(NamedTuple):
    """Of each draw the best utility so far and the place of its arm; the utilities that are being worked on, [S]."""

    best: Singles
    winner: npt.NDArray[np.int32]
    now: Singles


_D1, _D2 = numba.float64[::1], numba.float64[:, ::1]
_1, _2, _3 = numba.float32[::1], numba.float32[:, ::1], numba.float32[:, :, ::1]
_INTS, _SHORT, _PAIRS = numba.int64[::1], numba.int32[::1], numba.int64[:, ::1]
WEIGHTS = record(Weights, numba.int64, numba.int64, _INTS, _3, _3, _INTS, _2)
WORTHS = record(Worths, _PAIRS, _INTS, _2, numba.boolean[::1])
ASKED = record(Asked, _3, _3, _3, _2, _1, _2, _INTS, _SHORT)
MENU = record(Menu, _INTS, _INTS, _SHORT, _1)
RACE = record(Race, _1, _SHORT, _1)
CROSSED = record(Crossed, _3, _INTS, _1)


@compiled(_1, _SHORT)
def exponential(x: Singles, bits: npt.NDArray[np.int32]) -> None:
    """exp of `x`, each cut to within FARTHEST of 0, in its place and within 2e-7 of it; `bits` is written over."""
    for s in range(len(x)):
        cut = min(max(x[s], -FARTHEST), FARTHEST)
        power = np.floor(cut * PER_LN2 + HALF)
        r = (cut - power * LN2_HIGH) - power * LN2_LOW
        x[s] = (((((E7 * r + E6) * r + E5) * r + E4) * r + E3) * r + E2) * r * r + r + ONE
        bits[s] = (np.int32(power) + BIAS) << MANTISSA
    scale = bits.view(np.float32)
    for s in range(len(x)):
        x[s] *= scale[s]


@compiled(numba.float64[::1], WEIGHTS, ASKED, numba.int64)
def _alone(columns: Doubles, weights: Weights, asked: Asked, h: int) -> None:
    """Logits of head `h` where nothing is shown, into `alone`."""
    alone, draws = asked.alone, asked.alone.shape[1]
    for s in range(draws):
        alone[h, s] = ZERO
    for i in range(len(weights.columns)):
        value = np.float32(columns[weights.columns[i]])
        for s in range(draws):
            alone[h, s] += value * weights.base[i, h, s]


@compiled(numba.float64[:, ::1], WEIGHTS, ASKED, numba.int64, numba.int64)
def _shown(each: Doubles, weights: Weights, asked: Asked, h: int, p: int) -> None:
    """`odds`, `pull` and `over` of head `h`, which reads the arm, and product `p`."""
    odds, over, draws = asked.odds, asked.over, asked.alone.shape[1]
    for s in range(draws):
        odds[p, h, s] = asked.alone[h, s]
    for i in range(len(weights.each)):
        value = np.float32(each[weights.known[p], i])
        for s in range(draws):
            odds[p, h, s] += value * weights.each[i, h, s]
    if h < weights.odds:
        far = np.int64(0)
        for s in range(draws):
            far |= np.int64(abs(odds[p, h, s]) > NEAR)
        asked.far[0] |= far
        exponential(odds[p, h], asked.bits)
    else:
        for s in range(draws):
            asked.pull[p, h - weights.odds, s], odds[p, h, s] = -odds[p, h, s], ONE
    for s in range(draws):
        over[p, h, s] = odds[p, h, s] * weights.money[p, h]


@compiled(numba.float64[::1], numba.float64[:, ::1], WEIGHTS, ASKED)
def _meet(columns: Doubles, each: Doubles, weights: Weights, asked: Asked) -> None:
    """Fill `odds`, `over`, `pull`, `alone` and `far`."""
    asked.far[0] = weights.far
    alone, draws, read = asked.alone, asked.alone.shape[1], weights.odds + asked.pull.shape[1]
    for h in range(len(alone)):
        _alone(columns, weights, asked, h)
        for p in range(len(asked.odds) if h < read else 0):
            _shown(each, weights, asked, h, p)
        exponential(alone[h], asked.bits)
        for s in range(draws):
            alone[h, s] /= ONE + alone[h, s]
        for p in range(len(asked.odds) if h >= read else 0):
            for s in range(draws):
                asked.over[p, h, s] = alone[h, s] * weights.money[p, h]


@compiled(WORTHS, ASKED, _1)
def _settle(worths: Worths, asked: Asked, left: Singles) -> None:
    """Fill `shift` and `nothing`. A first step that alone differs between arms is told in `over` what hangs on it. `left` [S] is scratch."""
    shift, nothing, alone, over, draws = asked.shift, asked.nothing, asked.alone, asked.over, len(left)
    nothing[:], shift[:] = ZERO, ZERO
    for w in range(len(worths.kind)):
        i, j, k = worths.steps[w, 0], worths.steps[w, 1], worths.steps[w, 2]
        for s in range(draws):
            left[s] = alone[i, s] if j < 0 else alone[i, s] * (alone[j, s] - alone[k, s]) + alone[k, s]
        if not worths.against[w]:
            for s in range(draws):
                nothing[s] += worths.money[w, 0] * left[s]
        for p in range(len(shift)):
            sign = ZERO if worths.against[w] == (worths.kind[w] == NONE) else -ONE if worths.against[w] else ONE
            for s in range(draws):
                shift[p, s] += sign * worths.money[w, p] * left[s]
            if worths.kind[w] == FIRST and j >= 0:
                for s in range(draws):
                    over[p, i, s] *= over[p, j, s] - over[p, k, s]
                    shift[p, s] += over[p, k, s]


@compiled(numba.float64[::1], numba.float64[:, ::1], WEIGHTS, WORTHS, ASKED, RACE)
def ask(columns: Doubles, each: Doubles, weights: Weights, worths: Worths, asked: Asked, race: Race) -> None:
    """Fill `asked` for the member with these base columns of phi, to whom products add `each` [1 + products, L]; and start the `race`."""
    _meet(columns, each, weights, asked)
    _settle(worths, asked, race.now)
    race.best[:] = -np.inf
    race.winner[:] = 0


@compiled(RACE, numba.int32)
def _arrive(race: Race, place: int) -> None:
    """Where the arm of this `place` is better than the best so far, or as good and stands before it, it is the best."""
    now, best, winner = race.now, race.best, race.winner
    for s in range(len(now)):
        better = (now[s] > best[s]) | ((now[s] == best[s]) & (place < winner[s]))
        best[s] = now[s] if better else best[s]
        winner[s] = place if better else winner[s]


@compiled(CROSSED, _INTS, numba.int64)
def _tilted(crossed: Crossed, words: Ints, row: int) -> None:
    """What a member's `words` make of the E of the arm at `row`, by head, into `tilt`."""
    for t in range(len(crossed.heads)):
        changed = ZERO
        for c in range(len(words)):
            changed += crossed.table[row, words[c], t]
        crossed.tilt[crossed.heads[t]] = np.exp(-changed)


@compiled(_3, numba.int64, _1, _3, _3, numba.int64, numba.int64, numba.int64, numba.int64, _1)
def _all(  # noqa: PLR0913, PLR0917 - as `contest`
    e: Singles, row: int, tilt: Singles, over: Singles, odds: Singles, p: int, i: int, j: int, k: int, now: Singles
) -> None:
    """What a worth of all three steps gives the arm at `row`, added to `now`: P_i (P_j - P_k) + P_k over one denominator, since a division takes as long as
    several products.
    """
    if k >= e.shape[1]:
        for s in range(len(now)):
            first, then, otherwise = e[row, i, s] * tilt[i] + odds[p, i, s], e[row, j, s] * tilt[j] + odds[p, j, s], over[p, k, s]
            now[s] += over[p, i, s] * (over[p, j, s] - otherwise * then) / (first * then) + otherwise
        return
    for s in range(len(now)):
        first, then, other = e[row, i, s] * tilt[i] + odds[p, i, s], e[row, j, s] * tilt[j] + odds[p, j, s], e[row, k, s] * tilt[k] + odds[p, k, s]
        both = first * then
        now[s] += (over[p, i, s] * (over[p, j, s] * other - over[p, k, s] * then) + over[p, k, s] * both) / (both * other)


@compiled(_3, numba.int64, _1, _3, _3, numba.int64, numba.int64, numba.int64, numba.int64, _1)
def _apart(  # noqa: PLR0913, PLR0917 - as `contest`
    e: Singles, row: int, tilt: Singles, over: Singles, odds: Singles, p: int, i: int, j: int, k: int, now: Singles
) -> None:
    """The same where a member or an arm is far from even: each over its own denominator."""
    if k >= e.shape[1]:
        for s in range(len(now)):
            gap = over[p, j, s] / (e[row, j, s] * tilt[j] + odds[p, j, s]) - over[p, k, s]
            now[s] += over[p, i, s] / (e[row, i, s] * tilt[i] + odds[p, i, s]) * gap + over[p, k, s]
        return
    for s in range(len(now)):
        otherwise = over[p, k, s] / (e[row, k, s] * tilt[k] + odds[p, k, s])
        gap = over[p, j, s] / (e[row, j, s] * tilt[j] + odds[p, j, s]) - otherwise
        now[s] += over[p, i, s] / (e[row, i, s] * tilt[i] + odds[p, i, s]) * gap + otherwise


@compiled(MENU, _3, CROSSED, _INTS, WORTHS, ASKED, RACE, _2)
def contest(  # noqa: PLR0913, PLR0917 - tables, each of its own shape
    menu: Menu, e: Singles, crossed: Crossed, words: Ints, worths: Worths, asked: Asked, race: Race, kept: Singles
) -> None:
    """Let the arms of `menu` take part, of which `e` [rows, heads, S] are E, for a member of these `words`. Of two that are equally good, the one that stands
    first in the menu wins. Heads that read no arm may be left out at the end of `e` where they are the last step of a worth: their `odds` are 1.

    `kept` is filled with the utilities [A, S], or is empty. An arm whose utility is not a number does not win.
    """
    odds, over, now, draws, tilt = asked.odds, asked.over, race.now, len(race.now), crossed.tilt
    for a in range(len(menu.rows)):
        row, p, cost = menu.rows[a], menu.product[a], menu.cost[a]
        for s in range(draws):
            now[s] = asked.nothing[s] if p < 0 else asked.shift[p, s] - cost
        _tilted(crossed, words, row)
        for w in range(len(worths.kind) if p >= 0 else 0):
            i, j, k = worths.steps[w, 0], worths.steps[w, 1], worths.steps[w, 2]
            if worths.kind[w] == FIRST:
                for s in range(draws):
                    now[s] += over[p, i, s] / (e[row, i, s] * tilt[i] + odds[p, i, s])
            elif worths.kind[w] == ALL and asked.far[0]:
                _apart(e, row, tilt, over, odds, p, i, j, k, now)
            elif worths.kind[w] == ALL:
                _all(e, row, tilt, over, odds, p, i, j, k, now)
        _arrive(race, menu.place[a])
        for s in range(draws if len(kept) else 0):
            kept[a, s] = now[s]
