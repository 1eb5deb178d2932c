"""Which file lies at a path: SQLite goes on with the one that it opened, whatever becomes of its name, and makes one where there is none."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path


class Place:
    """A database's path, and the file that lay there when it was first `opened`. Any thread may ask."""

    def __init__(self, path: Path) -> None:
        self._path, self._name = os.fspath(path), path.name
        self._file: tuple[int, int] | None = None

    @property
    def kept(self) -> bool:
        """Whether that file is still there; True before it was opened."""
        return self._file is None or self._file == self._found()

    def opened(self) -> None:
        """A connection has been made."""
        if self._file is None:
            self._file = self._found()

    def check(self) -> None:
        """Raises sqlite3.OperationalError where the file is no longer there: what is written to it could not be found again. Nor may one be made where only the
        write-ahead log of one lies: SQLite would delete that, with all that is nowhere else.
        """
        if not self.kept:
            raise sqlite3.OperationalError(f"{self._name} was moved, deleted or replaced while it was open; stop, put the file back, and start")
        if self._file is None and not Path(self._path).exists() and self._left():
            raise sqlite3.OperationalError(
                f"{self._name} is gone, but {self._name}-wal holds what was written to it last; put the file back, or delete {self._name}-wal"
            )

    def _left(self) -> bool:
        try:
            return Path(f"{Path(self._path).resolve()}-wal").stat().st_size > 0
        except OSError:
            return False

    def _found(self) -> tuple[int, int] | None:
        try:
            now = os.stat(self._path)  # noqa: PTH116 - a Path costs more, and every decision asks
        except OSError:
            return None
        return now.st_dev, now.st_ino
