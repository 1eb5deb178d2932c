"""Rows of single members into the online store between two materializations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from msgspec.structs import asdict

from training.adapters.feast_store import FeastStore
from training.adapters.parquet import arrow_schema
from training.adapters.recent import Counts, Found
from training.domain.schema import MEMBER_FEATURES, MEMBER_VIEW

if TYPE_CHECKING:
    from training.adapters.feast_counts import PackedCounts


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

    def counts_online(self, member_ids: Sequence[str]) -> list[Found | None]:
        """See `recent.Online`; from the packed rows where they lie in our file, else as Feast gives them."""
        near = None if self._packed is None else self._packed.read(member_ids)
        return [Found.of(row) for row in self.online_members(member_ids)] if near is None else near

    def write_counts(self, rows: Mapping[str, tuple[Found, Counts]]) -> int:
        """See `recent.Online`; of stores other than our file only what `write_members` says of rows that somebody wrote meanwhile. `rows` are of one
        `counts_online`.
        """
        if self._packed is not None and not any(isinstance(found.row, dict) for found, _ in rows.values()):
            return self._packed.write(rows) if rows else 0
        self.write_members({member: {**found.row, **asdict(counts)} for member, (found, counts) in rows.items()})
        return len(rows)

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
    def _packed(self) -> PackedCounts | None:
        from training.adapters.feast_columns import KEY_VERSION
        from training.adapters.feast_counts import PackedCounts

        config = self._feast.config
        if not self.local or config.entity_key_serialization_version != KEY_VERSION:
            return None
        return PackedCounts(self._feast._get_provider().online_store, config, self._view, "member_id")  # noqa: SLF001 - as above

    @cached_property
    def _view(self) -> Any:  # noqa: ANN401 - Feast carries no types here
        return self._feast.get_feature_view(MEMBER_VIEW)


_SCHEMA = pa.schema([field for field in arrow_schema(MEMBER_FEATURES) if field.name != "day"])
