"""Which raw tables have fallen behind: `dbt source freshness`, read from its results."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

DAY_SECONDS = 86_400.0
NEVER = 100 * 365 * DAY_SECONDS
"""dbt says of a table without rows that it was loaded in the year 1."""


def stale(command: Sequence[str], env: Mapping[str, str], folder: Path) -> tuple[str, ...]:
    """Run `command` (dbt source freshness) and return one sentence for each table that is older than its limit. It warns and never stops a day.

    dbt that cannot tell at all is one sentence too.
    """
    results = folder / "sources.json"
    results.unlink(missing_ok=True)
    done = subprocess.run(command, env=dict(env), cwd=folder, capture_output=True, text=True, check=False)
    if not results.is_file():
        last = (done.stdout + done.stderr).strip().splitlines()[-1:]
        return (f"dbt could not tell how fresh the raw tables are: {' '.join(last)}",)
    found = json.loads(results.read_text(encoding="utf-8"))["results"]
    return tuple(_sentence(result) for result in sorted(found, key=lambda r: r["unique_id"]) if result["status"] != "pass")


def _sentence(result: Mapping[str, object]) -> str:
    table = str(result["unique_id"]).rpartition(".")[2]
    age = result.get("max_loaded_at_time_ago_in_s")
    if not isinstance(age, (int, float)) or age > NEVER:
        return f"raw table {table} has no row at all"
    return f"the newest file of raw table {table} is {age / DAY_SECONDS:.0f} days older than the day that is built"
