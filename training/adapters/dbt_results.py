"""What dbt says of its own run (`run_results.json`), and how its failures are told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

_FAILED = ("error", "fail", "runtime error")
_SHOWN = 5
"""Failed nodes that are told in full; what else failed is in dbt's log."""


@dataclass(frozen=True)
class Node:
    """One model, seed, test or hook; `compiled` is the SQL file that ran, `sql` its text, both empty where it passed; `rows` are those that a test found."""

    name: str
    kind: str
    status: str
    message: str
    compiled: str
    sql: str = ""
    rows: int = 0


@dataclass(frozen=True)
class DbtRun:
    """One invocation."""

    invocation_id: str
    seconds: float
    nodes: tuple[Node, ...]

    @property
    def failures(self) -> tuple[Node, ...]:
        """Nodes that failed themselves; those skipped in consequence are not among them."""
        return tuple(n for n in self.nodes if n.status in _FAILED)

    @property
    def only_tests_failed(self) -> bool:
        """The SQL ran, and what it found in the rows is all that is wrong."""
        return bool(self.failures) and all(n.kind == "test" and n.status == "fail" for n in self.failures)


def read_run(file: Path) -> DbtRun | None:
    """The run that `file` tells of, or None where dbt stopped before it wrote any."""
    if not file.is_file():
        return None
    content = json.loads(file.read_text(encoding="utf-8"))
    nodes = tuple(_node(result, file.parent) for result in content["results"])
    return DbtRun(content["metadata"]["invocation_id"], float(content["elapsed_time"]), nodes)


def explain(run: DbtRun | None, tail: Sequence[str], day: date) -> str:
    """One text that says which node failed and why, in dbt's words; without any failed node the end of its output."""
    failures = run.failures if run else ()
    if failures:
        told = "\n".join(f"- {n.kind} {n.name}: {n.message}" + (f"\n  compiled SQL: {n.compiled}" if n.compiled else "") for n in failures[:_SHOWN])
        more = f"\n- and {len(failures) - _SHOWN} more" if len(failures) > _SHOWN else ""
    else:
        told, more = "\n".join(_last_error(tail)), ""
    return (
        f"dbt did not build {day.isoformat()}, so the marts of the last good build remain and nothing newer reaches the feature store:\n{told}{more}\n"
        "Correct the SQL or the rows that it names, then rerun this step; it is safe to repeat."
    )


def _node(result: dict[str, object], target: Path) -> Node:
    kind, _, *names = str(result["unique_id"]).split(".")
    name = names[0] if names else str(result["unique_id"])
    compiled = next((str(p) for p in sorted((target / "compiled").rglob(f"{name}.sql"))), "") if result["status"] in _FAILED else ""
    sql = str(result.get("compiled_code") or "") if compiled else ""
    rows = int(str(result.get("failures") or 0))
    return Node(name, kind, str(result["status"]), str(result["message"] or "").strip(), compiled, sql, rows)


def _last_error(tail: Sequence[str]) -> Sequence[str]:
    starts = [i for i, line in enumerate(tail) if "Encountered an error" in line]
    return tail[starts[-1] :] if starts else tail
