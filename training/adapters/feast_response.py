"""Feast's response over rows as they are stored: Python values straight from them, the protobuf message only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from operator import itemgetter
from typing import Any, Protocol

from feast import FeatureView, utils
from feast.online_response import TIMESTAMP_POSTFIX, OnlineResponse
from feast.protos.feast.serving.ServingService_pb2 import GetOnlineFeaturesResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.value_type import ValueType

Entities = dict[str, list[Any]]


class Row(Protocol):
    """One entity's row of a view as its store found it."""

    @property
    def event_us(self) -> int:
        """Event time in microseconds since 1970."""

    def python(self, read: Read) -> list[Any]:
        """Python values of `read.names`, as Feast converts them; None where null or absent."""

    def proto(self) -> tuple[datetime | None, dict[str, Value] | None]:
        """Event time in whole seconds and Feast's values by feature, as `OnlineStore.online_read` gives them."""


@dataclass(frozen=True, eq=False)
class Read:
    """What is read of one view: its features, how the answer calls them, and how its keys begin and continue."""

    view: FeatureView
    names: list[str]
    labels: list[str]
    prefix: bytes
    keys: tuple[tuple[str, Callable[[Any], bytes]], ...]
    memo: dict[Any, Any] = field(default_factory=dict)  # what a store prepares once for this read


@dataclass(frozen=True, eq=False)
class Plan:
    """How one kind of request is answered: the join keys it takes, what is read, and in which form it is given."""

    reads: tuple[Read, ...]
    kinds: Mapping[str, tuple[type, str]]
    types: Mapping[str, ValueType]
    full_names: bool
    memo: dict[tuple[str, ...], Callable[[Sequence[Any]], tuple[Any, ...]]] = field(default_factory=dict)

    def chosen(self, labels: tuple[str, ...]) -> Callable[[Sequence[Any]], tuple[Any, ...]]:
        """What takes the values of `labels`, at least two, from those of all reads in turn. Feast orders these otherwise in each process."""
        found = self.memo.get(labels)
        if found is None:
            place = {label: i for i, label in enumerate(label for read in self.reads for label in read.labels)}
            found = self.memo[labels] = itemgetter(*(place[label] for label in labels))
        return found


class PackedResponse(OnlineResponse):  # type: ignore[misc]
    """Feast's response over rows of bytes: one list a read, with a row or None for each entity asked for."""

    def __init__(self, plan: Plan, entities: Entities, rows: Sequence[Sequence[Row | None]]) -> None:
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
            columns = map(list, zip(*(_python(read, row) for row in rows), strict=True))
            if not include_event_timestamps:
                answer.update(zip(read.labels, columns, strict=True))
                continue
            seconds = [0 if row is None else row.event_us // 1_000_000 for row in rows]
            for label, column in zip(read.labels, columns, strict=True):
                answer[label] = column
                answer[label + TIMESTAMP_POSTFIX] = seconds.copy()
        return answer

    def each(self, labels: tuple[str, ...]) -> list[dict[str, Any]]:
        """By entity, without the entities: these `labels` of the answer, at least two, in their order, and `event_timestamp`, the newest of its rows in whole
        seconds; {} where it has none.
        """
        chosen = self._plan.chosen(labels)
        answer: list[dict[str, Any]] = []
        for rows in zip(*self._rows, strict=True):
            seconds = max(0 if row is None else row.event_us // 1_000_000 for row in rows)
            found: dict[str, Any] = {}
            if seconds > 0:
                values = [_python(read, row) for read, row in zip(self._plan.reads, rows, strict=True)]
                found = dict(zip(labels, chosen(values[0] if len(values) == 1 else [*chain(*values)]), strict=True))
                found["event_timestamp"] = datetime.fromtimestamp(seconds, UTC)
            answer.append(found)
        return answer

    def _message(self) -> GetOnlineFeaturesResponse:
        message = GetOnlineFeaturesResponse(results=[])
        keys = {name: [Value(**{self._plan.kinds[name][1]: value}) for value in values] for name, values in self._entities.items()}
        utils._populate_result_rows_from_columnar(online_features_response=message, data=keys)  # noqa: SLF001 - Feast's own stores use it
        for read, rows in zip(self._plan.reads, self._rows, strict=True):
            protos = [(None, None) if row is None else row.proto() for row in rows]
            utils._populate_response_from_feature_data(  # noqa: SLF001 - same
                read.names, protos, [[i] for i in range(len(rows))], message, self._plan.full_names, read.view, len(rows)
            )
        return message


def _python(read: Read, row: Row | None) -> list[Any]:
    return [None] * len(read.names) if row is None else row.python(read)
