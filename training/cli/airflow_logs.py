"""What a failed task itself said, out of Airflow's structured log files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from training.cli.airflow_api import TaskState
from training.config.settings import ROOT


def attempt_log(logs: Path, task: TaskState) -> Path:
    """The file of the task's latest attempt."""
    return logs / f"dag_id={task.dag}" / f"run_id={task.run_id}" / f"task_id={task.task}" / f"attempt={task.attempt}.log"


def reason(log: Path, lines: int = 12) -> str:
    """The last exception's own message and, where it is no refusal of ours, the last line of our code that led to it; without one the last lines of the log."""
    if not log.is_file():
        return "The task left no log: it was ended before it could start. Its scheduler's log says more."
    records = [_record(text) for text in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    for record in reversed(records):
        details = record.get("error_detail")
        if details:
            return _exception(details[0])
    said = [str(record.get("event", "")) for record in records if record.get("event")]
    return "\n".join(said[-lines:])


def _record(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        return {"event": text}
    return found if isinstance(found, dict) else {"event": text}


def _exception(detail: dict[str, Any]) -> str:
    kind, message = detail.get("exc_type", "Error"), str(detail.get("exc_value", "")).strip()
    if kind == "AirflowFailException":  # our own refusals already carry their kind and say what to do
        return message
    frames = detail.get("frames") or []
    if not frames:
        return f"{kind}: {message}"
    frame = next((f for f in reversed(frames) if _is_ours(f["filename"])), frames[-1])
    return f"{kind}: {message}\n  raised in {frame['filename']}:{frame['lineno']} ({frame['name']})"


def _is_ours(filename: str) -> bool:
    path = Path(filename)
    return path.is_relative_to(ROOT) and not path.is_relative_to(ROOT / ".venv")
