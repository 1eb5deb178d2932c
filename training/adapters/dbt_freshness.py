"""Which raw tables have fallen behind: `dbt source freshness`, read from its results."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

SOURCES = "sources.json"
"""What dbt writes of it."""
DAY_SECONDS = 86_400.0
NEVER = 100 * 365 * DAY_SECONDS
"""dbt says of a table without rows that it was loaded in the year 1."""


def stale(folder: Path, said: Path) -> tuple[str, ...]:
    """One sentence for each table that is older than its limit, by the results in `folder`. It warns and never stops a day.

    dbt that could not tell at all, of which the file `said` tells why, is one sentence too.
    """
    results = folder / SOURCES
    if not results.is_file():
        last = said.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] if said.is_file() else []
        return (f"dbt could not tell how fresh the raw tables are: {' '.join(last)}",)
    found = json.loads(results.read_text(encoding="utf-8"))["results"]
    return tuple(_sentence(result) for result in sorted(found, key=lambda r: r["unique_id"]) if result["status"] != "pass")


def _sentence(result: Mapping[str, object]) -> str:
    table = str(result["unique_id"]).rpartition(".")[2]
    age = result.get("max_loaded_at_time_ago_in_s")
    if not isinstance(age, (int, float)) or age > NEVER:
        return f"raw table {table} has no row at all"
    return f"the newest file of raw table {table} is {age / DAY_SECONDS:.0f} days older than the day that is built"
