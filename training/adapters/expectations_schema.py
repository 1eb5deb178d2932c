"""From `domain.schema` to expectations. Pure: says what to expect as data, so that it can be read and tested without Great Expectations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil

from training.domain.schema import ARM_FEATURES, ARM_NUMERIC, MEMBER_FEATURES, MEMBER_NUMERIC, Column, Table, Type

CHANGE_LIMIT = 0.5
"""Share by which the number of rows may change from one day to the next before a warning."""
NULL_LIMIT = 0.2
"""Share by which the filled values of a column may fall from one day to the next before a warning."""
SURGE = 0.5
"""A column of which more than this share was filled may not lose as large a part of what was filled."""
LOW_VOLUME = 0.5
"""Share of the usual number of decisions below which a day is odd."""
MATURE_ROWS = 500
"""So many mature labels without a single answer are no accident: the events of that label do not arrive."""


@dataclass(frozen=True)
class Check:
    """`kind` is the name of a Great Expectations class, `arguments` are its own; a critical one blocks the day."""

    kind: str
    critical: bool
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """What an earlier day looked like: its rows, and for each column the share that was not NULL."""

    rows: int
    filled: Mapping[str, float]


def checks(table: Table) -> list[Check]:
    """The contract of the table's schema."""
    return [*_shape(table), *(check for column in table.columns for check in _column(column))]


def drift(table: Table, before: Summary) -> list[Check]:
    """A day's features against an earlier day: rows and filled values change slowly; a column that was mostly filled never empties overnight."""
    if not before.rows:
        return []
    low, high = int(before.rows * (1 - CHANGE_LIMIT)), int(before.rows * (1 + CHANGE_LIMIT)) + 1
    found = [Check("ExpectTableRowCountToBeBetween", critical=False, arguments={"min_value": low, "max_value": high})]
    for column in (c.name for c in table.columns if c.nullable):
        filled = before.filled.get(column, 0.0)
        if round(filled - NULL_LIMIT, 2) > 0:
            found.append(_filled(column, filled - NULL_LIMIT, critical=False))
        if filled > SURGE:
            found.append(_filled(column, filled * SURGE, critical=True))
    return found


def volume(usual: float) -> list[Check]:
    """A day's number of decisions against what is usual; a day without any is always odd."""
    return [Check("ExpectTableRowCountToBeBetween", critical=False, arguments={"min_value": max(1, ceil(usual * LOW_VOLUME))})]


def answered(mature: Mapping[str, int]) -> list[Check]:
    """Of each label with MATURE_ROWS mature rows at least one must be true: a rate that is 0 or NULL throughout means that its events do not arrive."""
    return [
        Check("ExpectColumnMaxToBeBetween", critical=False, arguments={"column": label, "min_value": 1.0})
        for label, rows in mature.items()
        if rows >= MATURE_ROWS
    ]


def _filled(column: str, share: float, *, critical: bool) -> Check:
    return Check("ExpectColumnValuesToNotBeNull", critical=critical, arguments={"column": column, "mostly": round(share, 2)})


def _shape(table: Table) -> Iterator[Check]:
    yield Check("ExpectTableColumnsToMatchOrderedList", critical=True, arguments={"column_list": list(table.names)})
    # Features exist for every member and arm each day; a day without any decision is odd, but not an error.
    yield Check("ExpectTableRowCountToBeBetween", critical=table in (MEMBER_FEATURES, ARM_FEATURES), arguments={"min_value": 1})
    if len(table.key) == 1:
        yield Check("ExpectColumnValuesToBeUnique", critical=True, arguments={"column": table.key[0]})
    else:
        yield Check("ExpectCompoundColumnsToBeUnique", critical=True, arguments={"column_list": list(table.key)})


def _column(column: Column) -> Iterator[Check]:
    if not column.nullable:
        yield Check("ExpectColumnValuesToNotBeNull", critical=True, arguments={"column": column.name})
    if column.values:
        yield Check("ExpectColumnValuesToBeInSet", critical=True, arguments={"column": column.name, "value_set": list(column.values)})
    bounds = _bounds(column)
    if bounds:
        yield Check("ExpectColumnValuesToBeBetween", critical=True, arguments={"column": column.name, **bounds})


def _bounds(column: Column) -> dict[str, object]:
    if column.name == "propensity":
        return {"min_value": 0.0, "max_value": 1.0, "strict_min": True}
    if column.name.endswith("_rate"):
        return {"min_value": 0.0, "max_value": 1.0}
    if column.type is Type.INT or column.name in (*MEMBER_NUMERIC, *ARM_NUMERIC, "conversion_value"):
        return {"min_value": 0.0}
    return {}
