"""Folders of the landing zone: what the inbox holds, and raw with its staging area, journal and fingerprints."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from training.adapters.landing_copy import CopyError, copy
from training.adapters.landing_violations import Violation
from training.domain.schema import RAW

PART = "part.parquet"
"""A landed day is exactly this one file, so that replacing it is one atomic rename."""


@dataclass(frozen=True)
class Partition:
    """One table's rows of one day in the inbox: one or more Parquet files in one folder."""

    table: str
    day: date
    files: tuple[Path, ...]

    @property
    def label(self) -> str:
        """How errors name it: its file below the inbox, or its folder if there are several."""
        folder = self.files[0].parent
        return f"{self.table}/{folder.name}" + (f"/{self.files[0].name}" if len(self.files) == 1 else "")


def inbox_partitions(inbox: Path) -> tuple[list[Partition], list[Violation]]:
    """What the inbox holds, parents before children and by day, and the folders that mean nothing. Hidden names are ignored: somebody is writing there."""
    found: list[Partition] = []
    known = f"is not a raw table; the tables are {', '.join(RAW)}"
    wrong = [Violation(folder.name, known, f"{folder.name}/") for folder in _visible(inbox) if folder.name not in RAW]
    for table in RAW:
        for folder in _visible(inbox / table):
            files = tuple(sorted(p for p in folder.glob("*.parquet") if not p.name.startswith(".")))
            day = _day(folder.name)
            if day is None:
                wrong.append(Violation(table, "folder is not named day=YYYY-MM-DD", f"{table}/{folder.name}"))
            elif not files:
                wrong.append(Violation(table, "folder holds no .parquet file", f"{table}/{folder.name}"))
            else:
                found.append(Partition(table, day, files))
    return found, wrong


def fingerprint(partition: Partition) -> str:
    """SHA-256 of the files' contents in the order of their names; a file that is only touched keeps its fingerprint."""
    total = hashlib.sha256()
    for path in partition.files:
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


class Raw:
    """The folder `raw`. A batch is staged in `.staging`, proven there, and moved file by file under a journal that says what the batch was.

    Before the journal is written a crash leaves nothing behind but the staging area, which the next run deletes; after it the next run finishes the moves.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._staging = folder / ".staging"
        self._journal = self._staging / "journal.json"
        self._landed = folder / "landed.json"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold raw for one process; another one waits. The lock goes with its process, however that ends."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def recover(self) -> None:
        """Finish the batch that a crash interrupted, if it had been proven; else forget it."""
        if self._journal.is_file():
            print("Finishing a landing that was interrupted.", flush=True)
            self._finish()
        self.discard()

    def days(self) -> dict[tuple[str, date], Path]:
        """Landed files by table and day."""
        found = {}
        for table in RAW:
            for file in sorted((self._folder / table).glob(f"day=*/{PART}")):
                day = _day(file.parent.name)
                if day is not None:
                    found[table, day] = file
        return found

    def fingerprints(self) -> dict[tuple[str, date], str]:
        """Fingerprint with which each landed day came; a day whose file is gone has none."""
        there = self.days()
        if not self._landed.is_file():
            return {}
        known: dict[str, str] = json.loads(self._landed.read_text(encoding="utf-8"))
        return {key: known[name] for key in there if (name := _name(*key)) in known}

    def contents(self) -> dict[tuple[str, date], str]:
        """A mark of what each landed day holds: its fingerprint, or the hash of its file where it was put there by hand."""
        known = self.fingerprints()
        return {key: known.get(key) or fingerprint(Partition(*key, (file,))) for key, file in self.days().items()}

    @property
    def scratch(self) -> Path:
        """A folder for what does not fit into memory while a batch is proven; it goes with the staging area."""
        return self._staging / "scratch"

    def staged(self, table: str, day: date) -> Path:
        """Where the copy of one day waits for its proof."""
        return self._staging / _name(table, day) / PART

    def stage(self, batch: Iterable[Partition]) -> tuple[dict[tuple[str, date], int], list[Violation]]:
        """Copy the batch in the schema's types; rows by table and day, and the files whose values do not fit their types."""
        rows, wrong = {}, []
        for partition in batch:
            try:
                rows[partition.table, partition.day] = copy(partition.files, RAW[partition.table], self.staged(partition.table, partition.day))
            except CopyError as error:
                wrong.append(Violation(partition.table, f"holds a value that does not fit its column: {error}", partition.label))
        return rows, wrong

    def commit(self, batch: Mapping[Partition, str]) -> None:
        """Make the staged batch visible. The journal is the point of no return."""
        _write_json(self._journal, {_name(p.table, p.day): mark for p, mark in batch.items()})
        self._finish()
        self.discard()

    def discard(self) -> None:
        """Delete the staging area."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def _finish(self) -> None:
        marks: dict[str, str] = json.loads(self._journal.read_text(encoding="utf-8"))
        for name in marks:
            source, target = self._staging / name / PART, self._folder / name / PART
            if source.is_file():  # else it was moved before the crash
                target.parent.mkdir(parents=True, exist_ok=True)
                source.replace(target)
        before = json.loads(self._landed.read_text(encoding="utf-8")) if self._landed.is_file() else {}
        _write_json(self._landed, before | marks)
        self._journal.unlink()


def _name(table: str, day: date) -> str:
    return f"{table}/day={day.isoformat()}"


def _day(name: str) -> date | None:
    try:
        return date.fromisoformat(name.removeprefix("day=")) if name.startswith("day=") else None
    except ValueError:
        return None


def _visible(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith((".", "_")))


def _write_json(path: Path, content: Mapping[str, str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.aside")
    aside.write_text(json.dumps(dict(sorted(content.items())), indent=0) + "\n", encoding="utf-8")
    aside.replace(path)
