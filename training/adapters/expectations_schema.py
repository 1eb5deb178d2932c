"""From `domain.schema` to expectations. Pure: says what to expect as data, so that it can be read and tested without Great Expectations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from training.domain.schema import ARM_FEATURES, ARM_NUMERIC, MEMBER_FEATURES, MEMBER_NUMERIC, Column, Table, Type

CHANGE_LIMIT = 0.5
"""Share by which the number of rows may change from one day to the next before a warning."""
NULL_LIMIT = 0.2
"""Share by which the filled values of a column may fall from one day to the next before a warning."""


@dataclass(frozen=True)
class Check:
    """`kind` is the name of a Great Expectations class, `arguments` are its own; a critical one blocks the day."""

    kind: str
    critical: bool
    arguments: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Yesterday:
    """What the day before looked like: its rows, and for each column the share that was not NULL."""

    rows: int
    filled: Mapping[str, float]


def checks(table: Table, yesterday: Yesterday | None = None) -> list[Check]:
    """All checks of `table`: the contract of its schema, and drift from `yesterday` where there was one."""
    return [*_shape(table), *(check for column in table.columns for check in _column(column)), *_drift(table, yesterday)]


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
        yield Check("ExpectColumnValuesToBeBetween", critical=column.name != "lifetime_value", arguments={"column": column.name, **bounds})


def _bounds(column: Column) -> dict[str, object]:
    if column.name == "propensity":
        return {"min_value": 0.0, "max_value": 1.0, "strict_min": True}
    if column.name.endswith("_rate"):
        return {"min_value": 0.0, "max_value": 1.0}
    if column.type is Type.INT or column.name in (*MEMBER_NUMERIC, *ARM_NUMERIC, "conversion_value"):
        return {"min_value": 0.0}
    return {}


def _drift(table: Table, yesterday: Yesterday | None) -> Iterator[Check]:
    if yesterday is None or yesterday.rows == 0:
        return
    low, high = int(yesterday.rows * (1 - CHANGE_LIMIT)), int(yesterday.rows * (1 + CHANGE_LIMIT)) + 1
    yield Check("ExpectTableRowCountToBeBetween", critical=False, arguments={"min_value": low, "max_value": high})
    for column in table.columns:
        least = round(yesterday.filled.get(column.name, 0.0) - NULL_LIMIT, 2)
        if column.nullable and least > 0:
            yield Check("ExpectColumnValuesToNotBeNull", critical=False, arguments={"column": column.name, "mostly": least})
