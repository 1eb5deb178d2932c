"""Read one randomised experiment from a table and refuse what cannot be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from training.domain.errors import DataError
from training.evaluation.columns import numbers, plain, text
from training.evaluation.intervals import Floats

Group = dict[str, Floats]
Rows = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Experiment:
    """The metric columns of both groups, and what a reader must know of the rows left out."""

    control: Group
    treatment: Group
    notes: tuple[str, ...]


def groups(data: pa.Table, column: str, control: str, treatment: str, metrics: Sequence[str]) -> Experiment:
    """Both groups of `column`. Raises DataError naming the column, the values and the counts that are wrong.

    Group values are compared as text, so that 1, 1.0 and "1" are one group, and so are True and "true". No other column is looked at.
    """
    missing = [c for c in dict.fromkeys((column, *metrics)) if c not in data.column_names]
    if missing:
        raise DataError(f"The data lack the column(s) {', '.join(missing)}, so they cannot be judged. They have: {', '.join(data.column_names)}.")
    if column in metrics:
        raise DataError(f"Column {column} says the group, so it differs between the groups by itself. Name another column as success or guardrail.")
    first, second = _name(control), _name(treatment)
    if first == second:
        raise DataError(f"Control and treatment are both {first!r}: a group cannot be compared with itself. Name two groups.")
    labels = _labels(text(data[column], f"Column {column}"))
    rows = {side: _rows(labels, column, side) for side in (first, second)}
    columns = {m: numbers(data[m], f"Column {m}") for m in metrics}
    found = [{m: _metric(data, m, columns[m], mine, side) for m in metrics} for side, mine in rows.items()]
    return Experiment(found[0], found[1], _notes(labels, column))


def _labels(names: pa.ChunkedArray) -> pa.ChunkedArray:
    """As compared: plain, true and false in small letters, nothing for missing."""
    return pc.replace_substring_regex(pc.replace_substring_regex(plain(pc.fill_null(names, "")), r"^(?i:true)$", "true"), r"^(?i:false)$", "false")


def _name(group: str) -> str:
    return str(_labels(pa.chunked_array([[group]], type=pa.large_string()))[0].as_py())


def _rows(labels: pa.ChunkedArray, column: str, name: str) -> Rows:
    """Rows of the group `name`."""
    found = np.asarray(pc.equal(labels, name).to_numpy(), dtype=bool)
    if not name or not found.any():
        known = ", ".join(repr(v) for v in sorted(set(pc.unique(labels).to_pylist()) - {""})[:20])
        raise DataError(f"Column {column} has no group {name!r}, so there is nobody to compare. It has: {known or 'no values'}.")
    return found


def _notes(labels: pa.ChunkedArray, column: str) -> tuple[str, ...]:
    lost = int(pc.sum(pc.equal(labels, "")).as_py())
    if not lost:
        return ()
    share = f"{lost} of {len(labels)} rows have no {column}"
    return (f"{share} and were left out: if those who lack it answered otherwise, the comparison is biased. Find out why they lack it.",)


def _metric(data: pa.Table, column: str, values: Floats, rows: Rows, group: str) -> Floats:
    found = values[rows]
    bad = np.flatnonzero(rows & ~np.isfinite(values))
    if len(bad):
        samples = ", ".join(list(dict.fromkeys(repr(v) for v in pc.take(data[column], pa.array(bad)).to_pylist()))[:3])
        raise DataError(
            f"{len(bad)} of {len(found)} rows of group {group!r} have a {column} that is missing or not a finite number ({samples}): "
            "leaving them out could hide harm. Fill in their true value, or remove them knowingly."
        )
    return found
