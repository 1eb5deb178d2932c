"""The members' counts in the packed rows of the online store's file: read and replaced there, and nothing else of a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from feast import FeatureView
from feast.repo_config import RepoConfig
from msgspec.structs import astuple

from training.adapters.feast_columns import key_prefix
from training.adapters.feast_file import PackedRow, PatchRow
from training.adapters.feast_layout import Layout
from training.adapters.feast_lookup import text_key
from training.adapters.feast_online import PackedSqliteOnlineStore
from training.adapters.feast_patch import Patch, patch_of
from training.adapters.recent import COUNTED, Counts, Found

_SECOND = 1_000_000


class Near(NamedTuple):
    """A row as it lies in the file, and where its counts lie in it."""

    key: bytes
    row: PackedRow
    patch: Patch

    def patched(self, counts: Counts) -> PatchRow:
        """With other counts."""
        return self.patch.write(self.row.packed, astuple(counts)), self.key, self.row.event_us, self.row.packed


class PackedCounts:
    """Of one view, whose only key is `key`."""

    def __init__(self, store: PackedSqliteOnlineStore, config: RepoConfig, view: FeatureView, key: str) -> None:
        self._store, self._config, self._view, self._prefix = store, config, view, key_prefix([key])
        self._patches: dict[Layout, Patch | None] = {}

    def read(self, ids: Sequence[str]) -> list[Found | None] | None:
        """Their rows in order, None where unknown; None in all where one lies in a layout that keeps the counts otherwise."""
        keys = [self._prefix + text_key(each.encode()) for each in ids]
        rows = self._store.packed_rows(self._config, self._view, keys)
        for layout in {row.layout for row in rows.values()} - self._patches.keys():
            self._patches[layout] = patch_of(layout, COUNTED)
        found: list[Found | None] = []
        for key in keys:
            row = rows.get(key)
            patch = None if row is None else self._patches[row.layout]
            if row is not None and patch is None:
                return None
            found.append(None if row is None or patch is None else _found(Near(key, row, patch)))
        return found

    def write(self, rows: Mapping[str, tuple[Found, Counts]]) -> int:
        """Replace the counts of rows that `read` gave, where they still lie as they did; returns how many."""
        return self._store.patch_rows(self._config, self._view, [found.row.patched(counts) for found, counts in rows.values()])


def _found(near: Near) -> Found | None:
    """None of a row before 1970, which Feast takes for none."""
    at = near.row.event_us // _SECOND * _SECOND
    return Found(at, Counts.of(near.patch.read(near.row.packed)), near) if at > 0 else None
