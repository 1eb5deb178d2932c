"""Reads the online file of Feast's own SQLite store, one row a feature, so that it can be converted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter

from feast.protos.feast.types.Value_pb2 import Value

OldRow = tuple[bytes, int, int | None, dict[str, Value]]
"""key, event and created time in microseconds, values."""

SELECT = "select entity_key, feature_name, value, event_ts, created_ts from {} order by entity_key, event_ts"


def entities(rows: Iterable[tuple[bytes, str, bytes, int, int | None]]) -> Iterator[OldRow]:
    """One row an entity from rows a feature; its times are those of its newest feature."""
    for key, group in groupby(rows, key=itemgetter(0)):
        features = list(group)
        *_, event_seconds, created_seconds = features[-1]
        values = {name: Value.FromString(value) for _, name, value, _, _ in features}
        yield key, _micros(event_seconds), None if created_seconds is None else _micros(created_seconds), values


def _micros(seconds: int) -> int:
    """Feast's SQLite store keeps UTC times as if they were local ones; back to microseconds of UTC."""
    return int(datetime.fromtimestamp(seconds).replace(tzinfo=UTC).timestamp()) * 1_000_000  # noqa: DTZ006 - local on purpose, see above
