"""Read one randomised experiment from a table and refuse what cannot be judged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from training.domain.errors import DataError
from training.evaluation.intervals import Floats

Group = dict[str, Floats]


def groups(data: pd.DataFrame, column: str, control: str, treatment: str, metrics: Sequence[str]) -> tuple[Group, Group]:
    """The metric columns of both groups. Raises DataError naming the column, the values and the counts that are wrong.

    Group values are compared as text, so that 1, 1.0 and "1" are one group.
    """
    missing = [c for c in dict.fromkeys((column, *metrics)) if c not in data.columns]
    if missing:
        raise DataError(f"The data lack the column(s) {', '.join(missing)}, so they cannot be judged. They have: {', '.join(map(str, data.columns))}.")
    if control == treatment:
        raise DataError(f"Control and treatment are both {control!r}: a group cannot be compared with itself. Name two groups.")
    labels = _labels(data[column])
    for name in (control, treatment):
        if not (labels == name).any():
            known = ", ".join(repr(v) for v in sorted(labels.dropna().unique())[:20])
            raise DataError(f"Column {column} has no group {name!r}, so there is nobody to compare. It has: {known or 'no values'}.")
    first, second = labels == control, labels == treatment
    return ({m: _metric(data, m, first, control) for m in metrics}, {m: _metric(data, m, second, treatment) for m in metrics})


def _labels(values: pd.Series) -> pd.Series:
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 == 0).all():
        values = values.astype("Int64")
    return values.astype("string").fillna("").mask(values.isna())


def _metric(data: pd.DataFrame, column: str, rows: pd.Series, group: str) -> Floats:
    values = data.loc[rows.fillna(value=False).astype(bool), column]
    if pd.api.types.is_datetime64_any_dtype(values):
        raise DataError(f"Column {column} holds times, which have no mean to compare. Give a number or 0/1 column.")
    words = values.astype("string").str.lower().map({"true": 1.0, "false": 0.0})
    numbers = pd.to_numeric(values, errors="coerce").astype("float64") if not values.map(type).eq(bool).all() else values.astype("float64")
    numbers = numbers.where(numbers.notna(), words.astype("float64")).to_numpy()
    bad = ~np.isfinite(numbers)
    if bad.any():
        samples = ", ".join(repr(v) for v in values[bad].unique()[:3])
        raise DataError(
            f"{int(bad.sum())} of {len(values)} rows of group {group!r} have a {column} that is missing or not a finite number ({samples}): "
            "leaving them out could hide harm. Fill in their true value, or remove them knowingly."
        )
    return np.asarray(numbers, dtype=np.float64)
