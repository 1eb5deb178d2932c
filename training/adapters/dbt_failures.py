"""Failed data tests with the rows that broke them, read from the warehouse after dbt has let go of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import duckdb

from training.adapters.dbt_results import DbtRun, Node

_ROWS = 5
_WIDTH = 60
"""Characters of one value that are shown."""


def broken_rows(run: DbtRun, warehouse: Path, day: date) -> str:
    """One text that names each failed test, how many rows it found, and up to five of them."""
    told = "\n".join(_test(node, warehouse) for node in run.failures)
    return (
        f"{len(run.failures)} data test(s) failed for {day.isoformat()}, so the marts of the last good build remain and nothing newer is learned from:\n"
        f"{told}\nCorrect the files of these rows in the inbox, then rerun from `land`; a rerun without new files fails again."
    )


def _test(node: Node, warehouse: Path) -> str:
    rows = "".join(f"\n    {row}" for row in _rows(node.sql, warehouse))
    return f"- {node.name}: {node.rows:,} row(s){', such as' if rows else ''}{rows}\n  compiled SQL: {node.compiled}"


def _rows(sql: str, warehouse: Path) -> list[str]:
    """Rows as `column=value, ...`; none where the warehouse is another one than this file, or somebody writes to it."""
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            found = connection.execute(f"SELECT * FROM (\n{sql}\n) LIMIT {_ROWS}")  # noqa: S608 - dbt's own compiled test
            names = [column[0] for column in found.description]
            return [", ".join(f"{name}={str(value)[:_WIDTH]}" for name, value in zip(names, row, strict=True)) for row in found.fetchall()]
    except duckdb.Error:
        return []
