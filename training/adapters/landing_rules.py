"""The rules of the data contract in DuckDB's SQL, derived from the schema wherever it says them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from training.domain.catalog import Catalog
from training.domain.schema import RAW, Column, Table, Type

TOLERANCE = 1e-6
"""Rounding that probabilities may carry; the same as in `Decision` and in the dbt tests."""
_DAY = 86_400_000_000


@dataclass(frozen=True)
class Check:
    """`rule` says what is wrong. `condition` is true for a wrong row; between rows it is a query for the `id` and `day` of wrong rows."""

    table: str
    rule: str
    condition: str


def within_rows(table: Table, catalog: Catalog) -> list[Check]:
    """What one row can break by itself."""
    known = {"products.product_id": tuple(catalog.products)}
    checks = [Check(table.name, rule, wrong) for column in table.columns for rule, wrong in _column(column, known.get(column.reference, column.values))]
    for time in (c.name for c in table.columns if c.type is Type.TIME):
        late = f'epoch_us("{time}") >= epoch_us(day::TIMESTAMP) + {_DAY}'
        checks.append(Check(table.name, f"{time} lies after the day of its file: nobody could have known the row then", late))
    return checks + (_decision() if table.name == "decisions" else [])


def _column(column: Column, values: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if not column.nullable:
        yield f"{column.name} is NULL", f'"{column.name}" IS NULL'
    if values:
        yield f"{column.name} is none of {', '.join(values)}", f'"{column.name}" NOT IN ({", ".join(quoted(v) for v in values)})'
    if column.type is Type.FLOAT:
        yield f"{column.name} is not a finite number", f'NOT isfinite("{column.name}")'


def _decision() -> list[Check]:
    """A decision that breaks one of these could never be evaluated without bias."""
    at = "list_position(feasible_arms, chosen_arm)"
    rules = {
        "feasible_arms and propensities differ in length": "len(feasible_arms) <> len(propensities)",
        "feasible_arms or propensities hold a NULL": "list_contains(list_transform(feasible_arms, lambda x: x IS NULL), true)"
        " OR list_contains(list_transform(propensities, lambda x: x IS NULL), true)",
        "a propensity is below 0": "list_min(propensities) < 0",
        "propensities do not sum to 1": f"NOT abs(coalesce(list_sum(propensities), 0) - 1) <= {TOLERANCE} AND propensities IS NOT NULL",
        "chosen_arm is not among feasible_arms": f"coalesce({at}, 0) = 0 AND chosen_arm IS NOT NULL AND feasible_arms IS NOT NULL",
        "propensity is not that of chosen_arm": f"{at} > 0 AND NOT coalesce(abs(propensity - propensities[{at}]) <= {TOLERANCE}, true)",
        "propensity is not above 0": "propensity <= 0",
    }
    return [Check("decisions", rule, wrong) for rule, wrong in rules.items()]


REPEATED = "list_unique(feasible_arms) < list_count(feasible_arms)"
"""True where a list of arms names one twice. Costly, thus asked of the distinct lists only, which are few: one a surface and set of consents."""


def listed(condition: str, rule: str) -> Check:
    """A rule on a decision's lists as a query for wrong rows."""
    return Check("decisions", rule, f"SELECT decision_id AS id, day FROM batch_decisions WHERE {condition}")  # noqa: S608 - values are quoted


def across_rows(coming: Collection[str], replaced: Collection[str]) -> Iterator[Check]:
    """What rows break together. `coming` are the batch's tables, `replaced` those of which a landed day is about to change.

    A row may refer to what landed on its own day or before, never later: so a backlog is refused where its days one by one would be.
    Rows that reference a table are looked at where they come; where days of the referenced table are replaced, the landed ones too.
    """
    for table in RAW.values():
        if table.name in coming:
            yield from _keys(table)
        for column in table.columns:
            parent, _, key = column.reference.partition(".")
            if parent in RAW and (table.name in coming or parent in replaced):
                rows = f"{'all' if parent in replaced else 'batch'}_{table.name}"
                first = f"(SELECT {key}, min(day) AS first_day FROM all_{parent} GROUP BY {key}) p"  # noqa: S608 - names of the schema
                known = f"{first} ON c.{column.name} = p.{key} AND p.first_day <= c.day"
                wrong = f"SELECT c.{table.key[0]} AS id, c.day FROM {rows} c ANTI JOIN {known} WHERE c.{column.name} IS NOT NULL"  # noqa: S608 - as above
                yield Check(table.name, f"{column.name} is not in {parent} of the same day or before", wrong)
    if {"decisions", "outcomes"} & set(coming):
        rows = "all_outcomes" if "decisions" in replaced else "batch_outcomes"
        early = f"SELECT outcome_id AS id, o.day FROM {rows} o JOIN all_decisions d USING (decision_id) WHERE o.occurred_at < d.decided_at"  # noqa: S608 - as above
        yield Check("outcomes", "occurred_at lies before its decision", early)


def _keys(table: Table) -> Iterator[Check]:
    key, batch = ", ".join(table.key), f"batch_{table.name}"
    shown = " || ' at ' || ".join(f"{c}::VARCHAR" for c in table.key)
    twice = f"SELECT {shown} AS id, day FROM {batch} SEMI JOIN (SELECT {key} FROM {batch} GROUP BY {key} HAVING count(*) > 1) USING ({key})"  # noqa: S608 - as above
    yield Check(table.name, f"{' and '.join(table.key)} is there more than once", twice)
    again = f"SELECT {shown} AS id, day FROM {batch} SEMI JOIN rest_{table.name} USING ({key})"  # noqa: S608 - as above
    yield Check(table.name, f"{' and '.join(table.key)} has landed before, with another day", again)


def quoted(text: str) -> str:
    """`text` as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"
