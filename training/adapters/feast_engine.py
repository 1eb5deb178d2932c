"""Feast's batch engine for materialization by column. Named in `feature_repo/feature_store.yaml`.

It reads what Feast's local engine reads and writes the same values, but converts whole Arrow columns, where Feast makes a protobuf
object a value. What it does not know (transformations, aggregations, other stores, other types) it leaves to Feast's engine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol, runtime_checkable

import pyarrow as pa
from feast import FeatureView, RepoConfig
from feast.infra.common.materialization_job import MaterializationJobStatus, MaterializationTask
from feast.infra.compute_engines.local.compute import LocalComputeEngine
from feast.infra.compute_engines.local.feature_builder import LocalFeatureBuilder
from feast.infra.compute_engines.local.job import LocalMaterializationJob
from feast.infra.online_stores.online_store import OnlineStore
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel
from feast.utils import _convert_arrow_to_proto, _get_feature_view_vector_field_metadata
from feast.value_type import ValueType

from training.adapters.feast_columns import KEY_VERSION, Batch, read_batch

BATCH_ROWS = 10_000
"""Rows a transaction where `online_write_batch_size` is not set."""


class ColumnarEngineConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """No options: batch size and what is read are Feast's `materialization` settings."""

    type: Literal["training.adapters.feast_engine.ColumnarEngine"] = "training.adapters.feast_engine.ColumnarEngine"


@runtime_checkable
class ColumnStore(Protocol):
    """An online store that takes a batch by column."""

    def write_columns(self, config: RepoConfig, table: FeatureView, batch: Batch) -> None:
        """Write `batch` in one transaction, keeping what is already newer."""


class ColumnarEngine(LocalComputeEngine):  # type: ignore[misc]
    """Feast's local engine with another way from the offline to the online store."""

    def _materialize_one(self, registry: BaseRegistry, task: MaterializationTask, **kwargs: Any) -> LocalMaterializationJob:  # noqa: ANN401 - Feast's signature
        if _column_store(self.online_store, self.repo_config) is None or not _plain(task, self.repo_config):
            return super()._materialize_one(registry, task, **kwargs)
        job_id = f"{task.feature_view.name}-{task.start_time}-{task.end_time}"
        try:
            self._write(registry, task)
        except Exception as error:  # noqa: BLE001 - Feast raises what the job reports
            return LocalMaterializationJob(job_id=job_id, status=MaterializationJobStatus.ERROR, error=error)
        return LocalMaterializationJob(job_id=job_id, status=MaterializationJobStatus.SUCCEEDED)

    def _write(self, registry: BaseRegistry, task: MaterializationTask) -> None:
        view = task.feature_view
        builder = LocalFeatureBuilder(registry, task, backend=None)
        table = builder.build_source_node(view).execute(self.get_execution_context(registry, task)).data
        join_keys = {entity.name: entity.dtype.to_value_type() for entity in view.entity_columns}
        size = self.repo_config.materialization_config.online_write_batch_size or BATCH_ROWS
        for rows in _sorted(table, join_keys).combine_chunks().to_batches(max_chunksize=size):
            write_rows(self.online_store, self.repo_config, view, rows)


def write_rows(store: OnlineStore, config: RepoConfig, view: FeatureView, rows: pa.RecordBatch) -> None:
    """Write `rows`, which have the columns of the view's source, in one transaction: by column where store and types allow it, else as Feast does."""
    join_keys = {entity.name: entity.dtype.to_value_type() for entity in view.entity_columns}
    columns = _column_store(store, config) if config.entity_key_serialization_version == KEY_VERSION else None
    batch = None if columns is None else read_batch(rows, view, join_keys)
    if columns is None or batch is None:
        store.online_write_batch(config, view, _convert_arrow_to_proto(rows, view, join_keys), lambda _: None)
    else:
        columns.write_columns(config, view, batch)


def _column_store(store: OnlineStore, config: RepoConfig) -> ColumnStore | None:
    if isinstance(store, ColumnStore):
        return store
    if any(each.__name__ == "RedisOnlineStore" for each in type(store).__mro__):  # by name: the package redis is imported only where it is used
        from training.adapters.feast_redis import RedisColumns

        return RedisColumns.over(store, config)
    return None


def _plain(task: MaterializationTask, config: RepoConfig) -> bool:
    """Whether the newest row of each entity is read from one source and written as it is."""
    view = task.feature_view
    asks_more = ("feature_transformation", "aggregations", "filter", "enable_validation", "offline", "source_views")
    return (
        type(view) is FeatureView
        and view.online
        and bool(view.features)
        and view.batch_source is not None
        and view.stream_source is None
        and not any(getattr(view, name, None) for name in asks_more)
        and not getattr(_get_feature_view_vector_field_metadata(view), "vector_index", False)
        and task.only_latest
        and bool(config.materialization_config.pull_latest_features)
    )


def _sorted(table: pa.Table, join_keys: Mapping[str, ValueType]) -> pa.Table:
    """In the order of the keys, so that a batch touches neighbouring pages of the store and a first load fills each page once."""
    known = [name for name in sorted(join_keys) if name in table.column_names]
    return table.sort_by([(name, "ascending") for name in known]) if known else table
