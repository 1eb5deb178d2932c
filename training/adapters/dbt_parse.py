"""dbt's parse of the project, which a home keeps from build to build: half of what a small day costs."""

from __future__ import annotations

import hashlib
from pathlib import Path

from training.adapters.dbt_state import PROJECT

PARSED = "partial_parse.msgpack"
"""Where dbt keeps it, in the target folder."""
_MARK = "parsed_from.txt"
_FOLDERS = ("macros", "models", "tests")


def forget_another_projects(target: Path, project: Path = PROJECT) -> None:
    """Take away the parse in `target` if a file of the project is not what it was: dbt's own update of a parse has failed on such changes (dbt-core#11492).

    Where a variable of the environment that it read while parsing has changed, dbt parses those files again itself; with another catalog, all.
    """
    mark = _mark(project)
    file = target / _MARK
    if not file.is_file() or file.read_text(encoding="utf-8") != mark:
        (target / PARSED).unlink(missing_ok=True)
        file.write_text(mark, encoding="utf-8")


def _mark(project: Path) -> str:
    files = [*project.glob("*.yml"), *(p for folder in _FOLDERS for p in (project / folder).rglob("*") if p.is_file())]
    whole = hashlib.sha256()
    for file in sorted(files):
        whole.update(f"{file.relative_to(project)} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return whole.hexdigest()
