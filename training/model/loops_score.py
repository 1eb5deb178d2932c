"""A decision in one call of machine code: from a member's features to the probability of each arm of a menu.

Handing over an array takes 0.4 us, and some forty of them stay the same from one decision to the next; so they are handed over once, as `Tables`, which is a
struct of numba's.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt
from numba import types
from numba.experimental import structref

from training.model import loops, loops_member
from training.model.loops import Asked, Crossed, Menu, Race, Weights, Worths, ask, contest
from training.model.loops_member import Layers, encode, enter
from training.model.machine_code import compiled, record

Singles = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Room(NamedTuple):
    """Scratch for one member: `numbers` as encoded, the first layer's `first` [O], base `columns` of phi, what products add, `each` [1 + P, L]; `wins` of every
    arm.
    """

    numbers: Doubles
    first: Doubles
    columns: Doubles
    each: Doubles
    wins: Ints


class Tables(structref.StructRefProxy):  # type: ignore[misc]  # numba has no types
    """What all decisions of a posterior share, and their scratch space: made by `handed`."""


@structref.register
class _Kind(types.StructRef):  # type: ignore[misc]  # as above
    """The type of `Tables`."""


_D1, _D2, _INTS, _2, _3 = numba.float64[::1], numba.float64[:, ::1], numba.int64[::1], numba.float32[:, ::1], numba.float32[:, :, ::1]
_FIELDS = {
    "mean": _D1,
    "deviation": _D1,
    "layers": loops_member.LAYERS,
    "weights": loops.WEIGHTS,
    "e": _3,
    "crossed": loops.CROSSED,
    "worths": loops.WORTHS,
    "asked": loops.ASKED,
    "race": loops.RACE,
    "unkept": _2,
    "room": record(Room, _D1, _D1, _D1, _D2, _INTS),
}
_TABLES = _Kind(list(_FIELDS.items()))
structref.define_proxy(Tables, _Kind, list(_FIELDS))


@compiled(*_FIELDS.values(), returns=_TABLES)
def handed(  # noqa: PLR0913, PLR0917 - the fields
    mean: Doubles,
    deviation: Doubles,
    layers: Layers,
    weights: Weights,
    e: Singles,
    crossed: Crossed,
    worths: Worths,
    asked: Asked,
    race: Race,
    unkept: Singles,
    room: Room,
) -> Tables:
    """The tables of `loops_member` and `loops`. `mean` and `deviation` [n] are those of the numbers, or have no entry where numbers come encoded."""
    return Tables(mean, deviation, layers, weights, e, crossed, worths, asked, race, unkept, room)


@compiled(_D1, _INTS, _D1, loops.MENU, _TABLES, numba.float64, _D1)
def score(  # noqa: PLR0913, PLR0917 - what differs between decisions
    raw: Doubles, words: Ints, constant: Doubles, menu: Menu, tables: Tables, epsilon: float, p: Doubles
) -> None:
    """Into `p` [A] the probability of each arm of the menu for a member of these numbers `raw` [n] and `words`; `constant` [O] is what the circumstances give
    the first layer. An arm has its share of the draws, of which 1 - `epsilon` count, and `epsilon` / A.
    """
    room, race, asked, weights, worths = tables.room, tables.race, tables.asked, tables.weights, tables.worths
    numbers = room.numbers
    if len(tables.mean):
        encode(raw, tables.mean, tables.deviation, numbers)
    else:
        numbers[:] = raw
    room.first[:] = constant
    enter(numbers, words, tables.layers, room.first, room.columns, room.each)
    ask(room.columns, room.each, weights, worths, asked, race)
    contest(menu, tables.e, tables.crossed, words, worths, asked, race, tables.unkept)
    wins, arms, draws = room.wins, len(p), len(race.winner)
    wins[:arms] = 0
    for s in range(draws):
        wins[race.winner[s]] += 1
    for a in range(arms):
        p[a] = (1.0 - epsilon) * wins[a] / draws + epsilon / arms
