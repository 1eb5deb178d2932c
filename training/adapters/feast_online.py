"""Feast's online store for one machine: SQLite, one packed row an entity and view. Named in `feature_repo/feature_store.yaml`.

1. A row never replaces a newer one, by (event time, created time). Feast's own SQLite store lets a backfill overwrite today's features.
2. A batch is one transaction, and readers go on reading while it is written (write-ahead log): they see all of it or nothing.
3. Each row names the layout that it was packed in, so adding or removing a feature never makes an older row be misread.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from feast import Entity, FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.online_store import OnlineStore
from feast.online_response import OnlineResponse
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import FeastConfigBaseModel, RepoConfig

from training.adapters.feast_columns import Batch, pack
from training.adapters.feast_file import OnlineFile, PackedRow, PatchRow
from training.adapters.feast_lookup import Plans
from training.adapters.feast_response import PackedResponse
from training.adapters.feast_rows import FeastRow, TimedRow, merged, packed, repack, timed


class PackedSqliteOnlineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Where the file lies; relative paths are Feast's own: below the feature repository."""

    type: Literal["training.adapters.feast_online.PackedSqliteOnlineStore"] = "training.adapters.feast_online.PackedSqliteOnlineStore"
    path: str = "data/online.db"


class PackedSqliteOnlineStore(OnlineStore):  # type: ignore[misc]
    """Feast's interface over `OnlineFile`. Threads share an instance: each has a connection of its own."""

    def __init__(self) -> None:
        self._mine = threading.local()
        self._plans = Plans()

    def online_write_batch(self, config: RepoConfig, table: FeatureView, data: list[FeastRow], progress: Callable[[int], Any] | None) -> None:
        """Write `data` in one transaction, keeping what is already newer.

        Rows that do not name every feature of the view are merged into what is stored, as one row a feature would.
        """
        file, name = self._file(config), table_name(config, table)
        groups: dict[tuple[str, ...], list[TimedRow]] = defaultdict(list)
        for row in (timed(row, config.entity_key_serialization_version) for row in data):
            groups[tuple(sorted(row.values))].append(row)
        features = {field.name for field in table.features}
        with file.writing():
            for names, rows in groups.items():
                whole = rows if features <= set(names) else merged(file, name, rows)
                file.write(name, packed(file, whole, table))
        if progress:
            progress(len(data))

    def write_columns(self, config: RepoConfig, table: FeatureView, batch: Batch) -> None:
        """The same for a whole batch by column, which names every feature of the view."""
        layout, rows = pack(batch)
        file = self._file(config)
        with file.writing():
            number = file.number_of(layout)
            columns = (batch.keys.to_pylist(), batch.event_us.to_pylist(), batch.created_us.to_pylist(), [number] * len(rows), rows)
            file.write(table_name(config, table), zip(*columns, strict=True))

    def packed_rows(self, config: RepoConfig, table: FeatureView, keys: Sequence[bytes]) -> dict[bytes, PackedRow]:
        """The rows of those serialized keys that are there."""
        return self._file(config, patient=False).read(table_name(config, table), keys)

    def patch_rows(self, config: RepoConfig, table: FeatureView, rows: Iterable[PatchRow]) -> int:
        """Replace packed values, see `OnlineFile.patch`, in one transaction."""
        file = self._file(config)
        with file.writing():
            return file.patch(table_name(config, table), rows)

    def online_read(
        self, config: RepoConfig, table: FeatureView, entity_keys: list[EntityKey], requested_features: list[str] | None = None
    ) -> list[tuple[datetime | None, dict[str, Value] | None]]:
        """Event time (whole seconds, as Feast's own store serves them) and values of each entity in order; (None, None) where absent."""
        keys = [serialize_entity_key(key, entity_key_serialization_version=config.entity_key_serialization_version) for key in entity_keys]
        found = self._file(config, patient=False).read(table_name(config, table), keys)
        return [(None, None) if (row := found.get(key)) is None else _chosen(row, requested_features) for key in keys]

    def get_online_features(self, *args: Any, **kwargs: Any) -> OnlineResponse:  # noqa: ANN401 - Feast's own arguments
        """Feast's lookup. Where the request is plain (see `feast_lookup`) the answer is read without protobuf, and is the same."""
        request = self._plans.request(*args, **kwargs)
        if request is None:
            return super().get_online_features(*args, **kwargs)
        plan, entities, keys = request
        config: RepoConfig = kwargs["config"] if "config" in kwargs else args[0]
        file = self._file(config, patient=False)
        rows = []
        for read, wanted in zip(plan.reads, keys, strict=True):
            found = file.read(table_name(config, read.view), wanted)
            rows.append([found.get(key) for key in wanted])
        return PackedResponse(plan, entities, rows)

    def update(
        self,
        config: RepoConfig,
        tables_to_delete: Sequence[FeatureView],
        tables_to_keep: Sequence[FeatureView],
        entities_to_delete: Sequence[Entity],  # noqa: ARG002 - Feast's signature
        entities_to_keep: Sequence[Entity],  # noqa: ARG002 - same
        partial: bool,  # noqa: ARG002 - same
    ) -> None:
        """Make the tables of the views, in one transaction; a file that Feast's own layout wrote is converted first, with its rows."""
        kept = {table_name(config, view): view for view in tables_to_keep}
        file = self._open(config, outdated=True)
        with file.writing():
            converted = file.upgrade({name: repack(file, view) for name, view in kept.items()})
            for name in kept:
                file.create(name)
            for view in tables_to_delete:
                file.drop(table_name(config, view))
        if converted:
            file.shrink()

    def teardown(self, config: RepoConfig, tables: Sequence[FeatureView], entities: Sequence[Entity]) -> None:  # noqa: ARG002 - Feast's signature
        """Remove the file and its log."""
        file = getattr(self._mine, "file", None)
        if file is not None:
            file.close()
            self._mine.file = None
        path = _path(config)
        for each in (path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")):
            each.unlink(missing_ok=True)

    def _file(self, config: RepoConfig, *, patient: bool = True) -> OnlineFile:
        file: OnlineFile | None = getattr(self._mine, "file", None)
        if file is not None and file.process == os.getpid() and file.config is config:
            if file.current:
                return file
            file.close()
            self._mine.file = None
        elif file is not None:
            self._mine.inherited = file  # a forked child must not close its parent's connection
        return self._open(config, outdated=False, patient=patient)

    def _open(self, config: RepoConfig, *, outdated: bool, patient: bool = True) -> OnlineFile:
        file = OnlineFile(_path(config), config, patient=patient)
        if not outdated:
            file.check()
        self._mine.file = file
        return file


def table_name(config: RepoConfig, view: FeatureView) -> str:
    """Name of the view's table, as Feast's SQLite store calls it."""
    name: str = compute_table_id(config.project, view, config.registry.enable_online_feature_view_versioning)
    return name


def _path(config: RepoConfig) -> Path:
    path = Path(config.online_store.path)
    return path if path.is_absolute() or not config.repo_path else Path(config.repo_path) / path


def _chosen(row: PackedRow, names: list[str] | None) -> tuple[datetime | None, dict[str, Value] | None]:
    event_at, values = row.proto()
    if names is None or values is None:
        return event_at, values
    return event_at, {name: values[name] for name in names if name in values}
