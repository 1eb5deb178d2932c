"""From the candidate to the published marts."""

from __future__ import annotations

import shutil
from pathlib import Path

from training.domain.errors import NotReadyError
from training.domain.schema import MARTS


def publish(candidate: Path, marts: Path) -> None:
    """Copy each mart aside and rename it: a reader sees the old file or the new one, and a repeated call completes an interrupted one.

    Raises NotReadyError where a mart was never exported; nothing is published then.
    """
    files = [candidate / f"{name}.parquet" for name in MARTS]
    missing = [file.name for file in files if not file.is_file()]
    if missing:
        raise NotReadyError(f"{', '.join(missing)} is not in {candidate}, so there is nothing whole to publish. Run `transform` first.")
    marts.mkdir(parents=True, exist_ok=True)
    for file in files:
        aside = marts / f".{file.name}.aside"
        shutil.copyfile(file, aside)
        aside.replace(marts / file.name)
