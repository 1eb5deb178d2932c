"""SQLite's files under running connections."""

from __future__ import annotations

from pathlib import Path


def move(database: Path, to: Path) -> None:
    """The file, and what lies beside it."""
    for end in ("", "-wal", "-shm"):
        found = database.with_name(database.name + end)
        if found.exists():
            found.rename(to.with_name(to.name + end))
