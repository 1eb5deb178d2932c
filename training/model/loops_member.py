"""The member's side of a compiled champion as machine code: features as the network takes them, and its first two layers."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import numpy.typing as npt

from training.model.machine_code import compiled, record
from training.model.numbers import LIMIT

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Layers(NamedTuple):
    """What a member's numbers [N] and words enter: the first layer by numbers `dense` [N, O] and by words `table` [W, O]; the second is `matrix` [m, u] and
    `shift` [u].
    """

    dense: Doubles
    table: Doubles
    matrix: Doubles
    shift: Doubles


_D1, _D2, _INTS = numba.float64[::1], numba.float64[:, ::1], numba.int64[::1]
LAYERS = record(Layers, _D2, _D2, _D2, _D1)


@compiled(_D1, _D1, _D1, _D1)
def encode(raw: Doubles, mean: Doubles, deviation: Doubles, found: Doubles) -> None:
    """As `NumberEncoder.encode` without pieces, in its float32 steps: of one row `raw` [n] the numbers and what is missing, into `found` [2 n]."""
    for i in range(len(raw)):
        missing = np.isnan(raw[i])
        scaled = (np.copysign(np.log1p(np.abs(raw[i])), raw[i]) - mean[i]) / deviation[i]
        found[i] = 0.0 if missing else np.float64(np.float32(min(max(scaled, -LIMIT), LIMIT)))
        found[len(raw) + i] = 1.0 if missing else 0.0


@compiled(_D1, _INTS, LAYERS, _D1, _D1, _D2)
def enter(numbers: Doubles, words: Ints, layers: Layers, first: Doubles, columns: Doubles, each: Doubles) -> None:
    """The base `columns` [1 + u + L + P L] of phi and what products add, `each` [1 + P, L]. `first` [O] holds the first layer's constant, and is added to."""
    dense, table, matrix, shift = layers.dense, layers.table, layers.matrix, layers.shift
    for i in range(len(numbers)):
        for k in range(len(first) if numbers[i] != 0.0 else 0):
            first[k] += numbers[i] * dense[i, k]
    for i in range(len(words)):
        for k in range(len(first)):
            first[k] += table[words[i], k]
    hidden, said, labels = len(matrix), len(shift), each.shape[1]
    columns[0], columns[1 : 1 + said] = 1.0, shift
    for k in range(hidden):
        for j in range(said if first[k] > 0.0 else 0):
            columns[1 + j] += first[k] * matrix[k, j]
    for j in range(1, 1 + said):
        columns[j] = np.tanh(columns[j])
    columns[1 + said :] = first[hidden:]
    each[0] = 0.0
    for p in range(1, len(each)):
        each[p] = first[hidden + p * labels : hidden + (p + 1) * labels]
