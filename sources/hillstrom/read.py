"""Read and check the challenge's file. What is not exactly that file's layout is refused, because every label would silently be wrong."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from training.domain.errors import DataError

SEGMENTS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
"""The three randomised treatments, a third of the customers each."""
_TYPES = {
    "recency": pa.int64(),
    "history": pa.float64(),
    "mens": pa.int64(),
    "womens": pa.int64(),
    "zip_code": pa.string(),
    "newbie": pa.int64(),
    "channel": pa.string(),
    "segment": pa.string(),
    "visit": pa.int64(),
    "conversion": pa.int64(),
    "spend": pa.float64(),
}
COLUMNS = tuple(_TYPES)
"""Columns that are used; `history_segment` repeats `history` in words and may be absent."""
_FLAGS = ("mens", "womens", "newbie", "visit", "conversion")


def read_customers(path: Path | None) -> pa.Table:
    """One row a customer, in the file's order, with the columns COLUMNS (CSV, gzipped or not).

    Raises DataError without a file, with one that is not this challenge's, or with rows that contradict themselves.
    """
    if path is None or not path.is_file():
        raise DataError(
            f"There is no file {path}: this source imports a file that you have. "
            "Give --data (make run SOURCE=hillstrom DATA=...) the CSV of Kevin Hillstrom's MineThatData e-mail challenge of 2008-03-20."
        )
    try:
        options = csv.ConvertOptions(include_columns=list(COLUMNS), column_types=_TYPES, strings_can_be_null=True)
        rows = csv.read_csv(path, convert_options=options)
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise DataError(
            f"{path} is not the file of the MineThatData e-mail challenge: {error}. Nothing was written. It is a CSV with the columns {', '.join(COLUMNS)}."
        ) from error
    _check(path, rows)
    return rows


def _check(path: Path, rows: pa.Table) -> None:
    """Raise DataError naming each rule that rows break, with the number of rows and the first of them."""
    broken = [
        *((f"{name} is empty", pc.is_null(rows[name])) for name in COLUMNS),
        *((f"{name} is not 0 or 1", pc.invert(pc.is_in(rows[name], pa.array([0, 1, None], pa.int64())))) for name in _FLAGS),
        (f"segment is not one of {', '.join(SEGMENTS)}", pc.invert(pc.is_in(rows["segment"], pa.array([*SEGMENTS, None])))),
        ("recency is not 1 to 12 months", pc.invert(pc.is_in(rows["recency"], pa.array([*range(1, 13), None], pa.int64())))),
        ("spend and conversion contradict each other", pc.not_equal(pc.greater(rows["spend"], 0.0), pc.equal(rows["conversion"], 1))),
        ("conversion without a visit", pc.and_(pc.equal(rows["conversion"], 1), pc.equal(rows["visit"], 0))),
    ]
    found = [(rule, pc.indices_nonzero(pc.fill_null(mask, fill_value=False).combine_chunks())) for rule, mask in broken]
    words = [f"{rule}: {len(at)} row(s), the first is row {at[0].as_py() + 1}" for rule, at in found if len(at)]
    if not rows.num_rows:
        words = ["it holds no rows"]
    if words:
        raise DataError(f"{path} is not the challenge's file, so nothing was written: {'; '.join(words)}. Give --data the original file.")
