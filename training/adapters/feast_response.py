"""Feast's response over packed rows: Python values straight from them, the protobuf message only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from feast import FeatureView, utils
from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType

from training.adapters.feast_file import PackedRow
from training.adapters.feast_layout import Layout

Entities = dict[str, list[Any]]


def proto_row(row: PackedRow | None, names: Sequence[str] | None) -> tuple[datetime | None, dict[str, Value] | None]:
    """A row as `OnlineStore.online_read` gives it; `names` where only these are wanted."""
    if row is None:
        return None, None
    values = row.layout.values(row.packed)
    if names is not None:
        values = {name: values[name] for name in names if name in values}
    return datetime.fromtimestamp(row.event_us // 1_000_000, tz=UTC), values or None


@dataclass(frozen=True, eq=False)
class Read:
    """What is read of one view: its features, how the answer calls them, and how its keys begin and continue."""

    view: FeatureView
    names: list[str]
    labels: list[str]
    prefix: bytes
    keys: tuple[tuple[str, Callable[[Any], bytes]], ...]
    readers: dict[Layout, Callable[[bytes], list[Any]]] = field(default_factory=dict)

    def values(self, row: PackedRow | None) -> list[Any]:
        """Python values of one row, None where absent."""
        if row is None:
            return [None] * len(self.names)
        reader = self.readers.get(row.layout)
        if reader is None:
            reader = self.readers[row.layout] = row.layout.reader(self.names)
        return reader(row.packed)


@dataclass(frozen=True, eq=False)
class Plan:
    """How one kind of request is answered: the join keys it takes, what is read, and in which form it is given."""

    reads: tuple[Read, ...]
    kinds: Mapping[str, tuple[type, str]]
    types: Mapping[str, ValueType]
    full_names: bool


class PackedResponse(OnlineResponse):  # type: ignore[misc]
    """Feast's response over packed rows: one list a read, with a row or None for each entity asked for."""

    def __init__(self, plan: Plan, entities: Entities, rows: Sequence[Sequence[PackedRow | None]]) -> None:
        # Feast's own constructor wants the message, which is not made unless it is asked for.
        self._plan, self._entities, self._rows = plan, entities, rows
        self._feature_types = plan.types
        self._proto: GetOnlineFeaturesResponse | None = None

    @property
    def proto(self) -> GetOnlineFeaturesResponse:
        """Feast's message, made by Feast's own code."""
        if self._proto is None:
            self._proto = self._message()
        return self._proto

    def to_dict(self, include_event_timestamps: bool = False) -> dict[str, Any]:
        """Each name and its values in the order of the entities."""
        answer: dict[str, Any] = {}
        for name, values in self._entities.items():
            answer[name] = list(values)
            if include_event_timestamps:
                answer[name + TIMESTAMP_POSTFIX] = [0] * len(values)
        for read, rows in zip(self._plan.reads, self._rows, strict=True):
            columns = [[value] for value in read.values(rows[0])] if len(rows) == 1 else map(list, zip(*map(read.values, rows), strict=True))
            if not include_event_timestamps:
                answer.update(zip(read.labels, columns, strict=True))
                continue
            seconds = [0 if row is None else row.event_us // 1_000_000 for row in rows]
            for label, column in zip(read.labels, columns, strict=True):
                answer[label] = column
                answer[label + TIMESTAMP_POSTFIX] = seconds.copy()
        return answer

    def _message(self) -> GetOnlineFeaturesResponse:
        message = GetOnlineFeaturesResponse(results=[])
        keys = {name: [Value(**{self._plan.kinds[name][1]: value}) for value in values] for name, values in self._entities.items()}
        utils._populate_result_rows_from_columnar(online_features_response=message, data=keys)  # noqa: SLF001 - Feast's own stores use it
        for read, rows in zip(self._plan.reads, self._rows, strict=True):
            protos = [proto_row(row, None) for row in rows]
            utils._populate_response_from_feature_data(  # noqa: SLF001 - same
                read.names, protos, [[i] for i in range(len(rows))], message, self._plan.full_names, read.view, len(rows)
            )
        return message
