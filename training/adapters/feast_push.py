"""Rows of single members into the online store between two materializations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import cached_property
from typing import Any

import pyarrow as pa

from training.adapters.feast_store import FeastStore
from training.adapters.parquet import arrow_schema
from training.domain.schema import MEMBER_FEATURES, MEMBER_VIEW


class OnlineMembers(FeastStore):
    """The feature store with a way to renew what it serves of members. Hold one instance a process, in place of a `FeastStore`."""

    def write_members(self, rows: Mapping[str, Mapping[str, object]]) -> None:
        """Replace the rows of those members, by id; each has what `online_members` gave, its event time included.

        One transaction, of rows that were available at their event time, as dbt says of its own: so the last one who writes for that time wins, be it a
        materialization that is repeated, and a row of a later time wins always. Feast's `write_to_online_store` does the same through a table of pandas at
        some five times the cost. Only Feast's own writer to a cluster of Redis, which this falls back on, leaves a row of the same second as it is.
        """
        if not rows:
            return
        from training.adapters.feast_engine import write_rows

        full = [{**values, "member_id": member_id, "created_timestamp": values["event_timestamp"]} for member_id, values in rows.items()]
        batch = pa.RecordBatch.from_pylist(full, schema=_SCHEMA)
        write_rows(self._feast._get_provider().online_store, self._feast.config, self._view, batch)  # noqa: SLF001 - the store of its configuration

    def materialized(self) -> tuple[datetime, int] | None:
        """Up to when members are online, and by how many materializations: another pair after each one. None before the first."""
        from feast.errors import FeatureViewNotFoundException

        try:
            view = self._feast.registry.get_feature_view(MEMBER_VIEW, self._feast.project, allow_cache=False)
        except FeatureViewNotFoundException:
            return None
        reached: datetime | None = view.most_recent_end_time
        return None if reached is None else (reached, len(view.materialization_intervals))

    @cached_property
    def _view(self) -> Any:  # noqa: ANN401 - Feast carries no types here
        return self._feast.get_feature_view(MEMBER_VIEW)


_SCHEMA = pa.schema([field for field in arrow_schema(MEMBER_FEATURES) if field.name != "day"])
