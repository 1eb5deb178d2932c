"""The landing zone on files: day folders of the inbox are validated together, then copied into raw, whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from training.adapters.landing_checks import check_files, check_rows
from training.adapters.landing_files import Partition, Raw, fingerprint, inbox_partitions
from training.adapters.landing_violations import explain
from training.adapters.ports import LandingReport
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.errors import NotReadyError
from training.domain.schema import RAW


class FileLanding:
    """`settings.inbox/TABLE/day=YYYY-MM-DD/*.parquet` -> `settings.raw/TABLE/day=YYYY-MM-DD/part.parquet`, in the types of `schema.RAW`.

    The inbox is only read. A day that changed in the inbox since it landed replaces what landed before.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._raw = Raw(settings.raw)

    def land(self, until: date) -> LandingReport:
        """Land every new or changed inbox day up to and including `until`; nothing new gives an empty report.

        Raises LandingError with each broken rule (nothing of the batch has landed then), NotReadyError if there is no data at all.
        A crash in the midst is completed or undone by the next call; a second process waits for the first.
        """
        with self._raw.locked():
            self._raw.recover()
            batch = self._batch(until)
            if not batch:
                return LandingReport({}, (), self._newest())
            print(f"Landing {len(batch)} day file(s) of {', '.join(_tables(batch))} up to {until.isoformat()}.", flush=True)
            rows = self._validated(batch)
            self._raw.commit(batch)
            newest = self._newest()
        landed = {table: sum(n for (name, _), n in rows.items() if name == table) for table in _tables(batch)}
        return LandingReport(landed, tuple(sorted({p.day for p in batch})), newest)

    def _newest(self) -> date:
        return max(day for _, day in self._raw.days())

    def _batch(self, until: date) -> dict[Partition, str]:
        """Partitions to land with their fingerprints. Raises NotReadyError, or LandingError for folders that mean nothing."""
        found, wrong = inbox_partitions(self._settings.inbox)
        if wrong:
            raise explain(wrong, self._settings.inbox)
        due = [p for p in found if p.day <= until]
        if not due and not self._raw.days():
            first = f" The inbox begins on {min(p.day for p in found).isoformat()}." if found else ""
            raise NotReadyError(
                f"There is no data up to {until.isoformat()} in {self._settings.inbox} and nothing has landed before, so nothing can be learned.{first} "
                "Make the simulated world with `rightmatch run`, or put your own files there as docs/your-data.md says."
            )
        known = self._raw.fingerprints()
        marks = {p: fingerprint(p) for p in due}
        return {p: mark for p, mark in marks.items() if known.get((p.table, p.day)) != mark}

    def _validated(self, batch: dict[Partition, str]) -> dict[tuple[str, date], int]:
        """Copies of the batch beside raw, proven; rows by table and day. What was refused is removed again."""
        catalog = load_catalog(self._settings.catalog)
        rows: dict[tuple[str, date], int] = {}
        proven = False
        try:
            wrong = check_files(batch)
            if not wrong:
                rows, wrong = self._raw.stage(batch)
            wrong = wrong or check_rows(list(batch), self._raw, catalog)
            proven = not wrong
        finally:
            if not proven:
                self._raw.discard()
        if wrong:
            raise explain(wrong, self._settings.inbox)
        return rows


def _tables(batch: Iterable[Partition]) -> list[str]:
    present = {p.table for p in batch}
    return [name for name in RAW if name in present]
