"""Read one randomised experiment from a table and refuse what cannot be judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.domain.errors import DataError
from training.evaluation.intervals import Floats

Group = dict[str, Floats]
Rows = npt.NDArray[np.bool_]
_POINT_ZERO = r"^(-?\d+)\.0+$"


def groups(data: pd.DataFrame, column: str, control: str, treatment: str, metrics: Sequence[str]) -> tuple[Group, Group]:
    """The metric columns of both groups. Raises DataError naming the column, the values and the counts that are wrong.

    Group values are compared as text, so that 1, 1.0 and "1" are one group.
    """
    missing = [c for c in dict.fromkeys((column, *metrics)) if c not in data.columns]
    if missing:
        raise DataError(f"The data lack the column(s) {', '.join(missing)}, so they cannot be judged. They have: {', '.join(map(str, data.columns))}.")
    if control == treatment:
        raise DataError(f"Control and treatment are both {control!r}: a group cannot be compared with itself. Name two groups.")
    labels = _plain(data[column])
    first, second = _rows(labels, column, control), _rows(labels, column, treatment)
    return ({m: _metric(data, m, first, control) for m in metrics}, {m: _metric(data, m, second, treatment) for m in metrics})


def _rows(labels: pd.Series, column: str, name: str) -> Rows:
    """Rows of the group `name`."""
    found = (labels == _plain(pd.Series([name]))[0]).fillna(value=False).to_numpy(dtype=bool)
    if not found.any():
        known = ", ".join(repr(v) for v in sorted(labels.dropna().unique())[:20])
        raise DataError(f"Column {column} has no group {name!r}, so there is nobody to compare. It has: {known or 'no values'}.")
    return np.asarray(found, dtype=bool)


def _plain(values: pd.Series) -> pd.Series:
    """As text without outer spaces, and whole numbers without a decimal point."""
    return values.astype("string").str.strip().str.replace(_POINT_ZERO, r"\1", regex=True)


def _metric(data: pd.DataFrame, column: str, rows: Rows, group: str) -> Floats:
    values = data.loc[rows, column]
    numbers = _floats(values, column)
    bad = ~np.isfinite(numbers)
    if bad.any():
        samples = ", ".join(repr(v) for v in values[bad].astype("object").unique()[:3])
        raise DataError(
            f"{int(bad.sum())} of {len(values)} rows of group {group!r} have a {column} that is missing or not a finite number ({samples}): "
            "leaving them out could hide harm. Fill in their true value, or remove them knowingly."
        )
    return numbers


def _floats(values: pd.Series, column: str) -> Floats:
    """Numbers, and true/false as 1/0; NaN for anything else."""
    if pd.api.types.is_datetime64_any_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        raise DataError(f"Column {column} holds times, which have no mean to compare. Give a number or 0/1 column.")
    if not pd.api.types.is_numeric_dtype(values):
        words = values.astype("string").str.strip().str.lower().replace({"true": "1", "false": "0"})
        values = pd.to_numeric(words, errors="coerce")
    return np.asarray(values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
