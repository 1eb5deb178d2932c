"""Bandits with known rates: labelled rows (Zhang et al. 2021, "Neural Thompson Sampling", section 6) and the wheel (Riquelme et al. 2018, section 5.4)."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from bench.regret.files import names, read
from training.domain.errors import ConfigError, DataError

Floats = npt.NDArray[np.float64]

MISSING = -1.0
"""What stands for a value that is not there."""
MISSING_WORDS = frozenset({"", "?", "na", "n/a", "nan", "-nan", "null", "none", "#n/a", "#na", "<na>", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"})
"""What the cell of a feature says where its value is missing, in small or capital letters. In the label column all of them but the empty one are classes."""
SEPARATORS = (";", "\t", "|")
"""What stands between the columns of files that are no CSV."""
PADDED = re.compile(r"[+-]?0\d")
"""A code, such as 007, that only looks like a number."""
STANDARD_LIMIT = 10.0
"""Deviations beyond which a standardised value is cut: the first rows have no statistics to speak of."""
CONSTANT, ROUNDING = 1e-9, 1e-12
"""A column whose deviation is no larger than this share of its largest number is not divided by it; what differs by this share is equal but for rounding."""
LARGEST = 1e37
"""Beyond this a standardised column is refused: its differences have no place in float32."""
ARMS, FEWEST = 100, 2
WHEEL = (1.2, 1.0, 50.0)
"""Mean rewards of the wheel: the safe arm, the others, and the arm of an outer quarter; divided by the last one they are rates."""


class Norm(StrEnum):
    """How a row is scaled before any policy sees it."""

    L2 = "l2"
    STANDARD = "standard"


@dataclass(frozen=True)
class Problem:
    """What happens in each round: `x` float32 [n, d] is seen, `rates` [n, K] is P(reward = 1) of each arm and is not.

    `unscaled` float32 [n, d] are standardised rows before they were, less the first one, for a policy that keeps rows and scales all of them again by what
    it has seen. It tells nothing more than x, but for what lies beyond STANDARD_LIMIT: the second row's x is its distance to the first, and from there each
    row follows from its x and the rows before it.
    """

    x: npt.NDArray[np.float32]
    rates: Floats
    unscaled: npt.NDArray[np.float32] | None = None

    @property
    def arms(self) -> int:
        """K."""
        return int(self.rates.shape[1])


def norm_of(name: str) -> Norm:
    """The scaling called `name`. Raises ConfigError for another name."""
    if name not in set(Norm):
        raise ConfigError(f"There is no scaling {name!r}, so nothing was measured. Use one of: {', '.join(Norm)}.")
    return Norm(name)


def read_labelled(path: Path, label: str) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Features [n, d] and classes [n] of a CSV or CSV.gz with a header; spaces around names, words and numbers do not count.

    Features: a column is one of numbers if all that is there is one, else of words, each the position of its value in sorted order; a cell that is empty
    or one of MISSING_WORDS, and a number that is not finite, is MISSING. The label: every word is a class ("None", "NA" and "007" too), but a number that
    is written in two ways ("1" and "1.0") is one; a row whose label is empty is left out, and how many are is said on standard error. Raises DataError for
    a file that cannot be read, a label that is not one column, or a number of classes that makes no bandit.
    """
    named = read(path, nrows=0).columns[_place(path, label)]
    frame = read(path, dtype={named: str})
    answers = frame.pop(named).fillna("").str.strip()  # without: a line that is too short
    there = answers != ""
    if not there.all():
        print(f"{path}: {(~there).sum():,} of {len(there):,} rows have no {label!r} and are left out", file=sys.stderr, flush=True)
    frame, (classes, found) = frame[there], _classes(answers[there])
    if not FEWEST <= found <= ARMS or not frame.shape[1]:
        raise DataError(
            f"Column {label!r} of {path} has {found} values in {len(frame)} rows and {frame.shape[1]} other columns: one arm a value needs "
            f"{FEWEST} to {ARMS} values and at least one other column. Name the class column with --label."
        )
    return np.stack([_column(frame[name]) for name in frame], axis=1), classes


def labelled(features: Floats, classes: npt.NDArray[np.int64], rounds: int, norm: Norm, seed: int) -> Problem:
    """The bandit of labelled rows: shuffled by `seed`, at most `rounds` of them, one arm a class, reward 1 when right.

    Raises DataError for a column that cannot be standardised.
    """
    order = np.random.default_rng(seed).permutation(len(features))[:rounds]
    x, right = features[order], classes[order]
    if norm is Norm.STANDARD and (wide := np.abs(x).max(axis=0) > LARGEST).any():
        raise DataError(
            f"Column {int(wide.argmax()) + 1} of the features holds {np.abs(x[:, wide.argmax()]).max():g}, and beyond {LARGEST:g} nothing can be standardised. "
            "Take its logarithm, leave it out, or use --norm l2."
        )
    unscaled = _shifted(x).astype(np.float32) if norm is Norm.STANDARD else None
    return Problem(normalised(x, norm).astype(np.float32), np.eye(int(classes.max()) + 1)[right], unscaled)


def normalised(x: Floats, norm: Norm) -> Floats:
    """Rows scaled to length 1, or columns standardised by the rows before each one (the first has mean 0 and deviation 1)."""
    match norm:
        case Norm.L2:
            near = np.ldexp(x, -np.frexp(np.abs(x).max(axis=1, keepdims=True))[1])  # times a power of two, which is exact: no square overflows
            length = np.linalg.norm(near, axis=1, keepdims=True)
            return np.asarray(near / np.where(length > 0, length, 1.0))
        case Norm.STANDARD:
            seen = np.arange(1, len(x))[:, None]
            shifted = _shifted(x)
            mean = np.vstack([np.zeros((1, x.shape[1])), np.cumsum(shifted, axis=0)[:-1] / seen])
            square = np.vstack([np.ones((1, x.shape[1])), np.cumsum(shifted**2, axis=0)[:-1] / seen])
            spread = np.sqrt(np.maximum(square - mean**2, 0.0))
            largest = np.vstack([np.zeros((1, x.shape[1])), np.maximum.accumulate(np.abs(shifted), axis=0)[:-1]])
            return np.asarray(np.clip((shifted - mean) / divisors(spread, largest), -STANDARD_LIMIT, STANDARD_LIMIT))


def divisors(deviation: Floats, largest: Floats) -> Floats:
    """What columns are divided by: their deviation, or 1 where it is no more than CONSTANT of the largest number; so units do not matter."""
    return np.where(deviation > CONSTANT * largest, deviation, 1.0)


def _shifted(x: Floats) -> Floats:
    """Less the first row, without which the variance of large numbers would lose its digits. What differs from it by rounding alone becomes 0."""
    away = x - x[:1]
    return np.where(np.abs(away) > ROUNDING * np.abs(x), away, 0.0)


def wheel(delta: float, rounds: int, seed: int) -> Problem:
    """Points of the unit disc, five arms: the first is a little better within radius `delta`; beyond it one arm a quarter is far better.

    Rewards are 0 or 1 with the original's means divided by 50, so regret keeps its proportions.
    """
    rng = np.random.default_rng(seed)
    angle, radius = rng.uniform(-np.pi, np.pi, rounds), np.sqrt(rng.random(rounds))
    x = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    safe, other, best = (mean / WHEEL[-1] for mean in WHEEL)
    rates = np.full((rounds, 5), other)
    rates[:, 0] = safe
    outer = radius > delta
    quarter = 1 + (x[:, 0] < 0).astype(np.int64) + 2 * (x[:, 1] < 0)
    rates[outer, quarter[outer]] = best
    return Problem(x.astype(np.float32), rates)


def _place(path: Path, label: str) -> int:
    """Where the column `label` stands."""
    columns, wanted = names(path), label.strip()
    if wanted not in columns:
        known = ", ".join(map(repr, columns[:40]))
        raise DataError(f"{path} has no column {label!r}, so no arm is right or wrong. Its columns: {known}.{_separated(columns)}")
    if (times := columns.count(wanted)) > 1:
        raise DataError(
            f"{path} has {times} columns {wanted!r}: one of them would be a feature that tells the answer. "
            "Take away all but the class, or name another column with --label."
        )
    return columns.index(wanted)


def _separated(columns: Sequence[str]) -> str:
    """A hint where the only column of a header looks like many."""
    marks = [mark for mark in SEPARATORS if mark in columns[0]] if len(columns) == 1 else []
    return f" They look separated by {marks[0]!r}: give a file in which commas separate them." if marks else ""


def _classes(answers: pd.Series[Any]) -> tuple[npt.NDArray[np.int64], int]:
    """The class of each answer, and how many there are: in the order of numbers where every answer is one, so that 10 comes after 9, else of words."""
    words = answers.unique()
    key = _number if np.isfinite(pd.to_numeric(pd.Series(words), errors="coerce")).all() else str
    keys = {word: key(word) for word in words}
    places = {key: place for place, key in enumerate(sorted(set(keys.values())))}
    return answers.map(lambda word: places[keys[word]]).to_numpy(dtype=np.int64), len(places)


def _number(word: str) -> tuple[Decimal, str]:
    """1 and 1.0 are the same, 007 and 7 are not, and no digit is lost."""
    return Decimal(word), word if PADDED.match(word) else ""


def _column(column: pd.Series[Any]) -> Floats:
    if pd.api.types.is_numeric_dtype(column):
        return _finite(column)
    words = column.astype(str).str.strip()
    words = words.mask(words.str.lower().isin(MISSING_WORDS))
    numbers = pd.to_numeric(words, errors="coerce")
    if (numbers.notna() | words.isna()).all():
        return _finite(numbers)
    codes, _ = pd.factorize(words, sort=True)
    return np.asarray(codes, dtype=np.float64)  # missing is -1 here too


def _finite(numbers: pd.Series[Any]) -> Floats:
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(np.where(np.isfinite(values), values, MISSING))
