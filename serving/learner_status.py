"""What the learner tells others of itself: one small file, replaced by renaming, read for `/metrics` and by whoever is on call."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

STATUS = "status.json"


@dataclass(frozen=True)
class Status:
    """As of `at` (ISO): the champion's posterior that readers find and those of all who learn by version, and the age in seconds of the oldest acknowledged
    outcome that one of them has not looked at yet.

    `lag_seconds` is None where somebody who is to learn is not loaded yet, or nobody is champion any more: nobody knows then. In the latter case version and
    posterior are those of the last champion.

    `answers`, `decisions`, `rows` and `damaged` count since the process started: answers taken in, decisions looked at, members' rows renewed, decisions left
    out. `waiting` are members whose row is still to be renewed. `trouble` is what keeps it from learning, else empty.
    """

    at: str
    model_version: str
    posterior: int
    posteriors: dict[str, int]
    lag_seconds: float | None
    answers: int
    decisions: int
    rows: int
    waiting: int
    damaged: int
    trouble: str


def write(folder: Path, status: Status) -> None:
    """Replace the file. Raises OSError where the disk is full."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{STATUS}.{os.getpid()}"
    aside.write_text(json.dumps(asdict(status)), encoding="utf-8")
    aside.replace(folder / STATUS)


def read(folder: Path) -> Status | None:
    """What the learner said last; None where none ever ran here, or what it left cannot be read."""
    try:
        return Status(**json.loads((folder / STATUS).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def behind(folder: Path, now: datetime) -> float | None:
    """Seconds that the learner is behind: what it said, and for how long it has said nothing since, which counts once it has gone. None where nobody knows."""
    status = read(folder)
    if status is None or status.lag_seconds is None:
        return None
    silent = now.timestamp() - (folder / STATUS).stat().st_mtime
    return status.lag_seconds + max(0.0, silent)
