"""Rows as Feast hands them over, one by one, to the packed rows of the online store's file."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import NamedTuple

from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from training.adapters.feast_file import OnlineFile, WriteRow
from training.adapters.feast_layout import known, layout_of
from training.adapters.feast_old import OldRow

FeastRow = tuple[EntityKey, dict[str, Value], datetime, datetime | None]


class TimedRow(NamedTuple):
    """A row of Feast's, its key serialized and its times in microseconds."""

    key: bytes
    event_us: int
    created_us: int | None
    values: dict[str, Value]


def timed(row: FeastRow, key_version: int) -> TimedRow:
    """Serialize the key and count the times."""
    entity, values, event_at, created_at = row
    key = serialize_entity_key(entity, entity_key_serialization_version=key_version)
    return TimedRow(key, _micros(event_at), None if created_at is None else _micros(created_at), values)


def _micros(instant: datetime) -> int:
    """Microseconds since 1970, exactly; without a zone it is UTC, as everywhere in Feast."""
    aware = instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def packed(file: OnlineFile, rows: Sequence[TimedRow], view: FeatureView) -> Iterable[WriteRow]:
    """`rows`, which may name different features after a merge, in the order of their keys, so that pages are filled one after the other."""
    declared = {field.name: known(_KINDS.get(str(field.dtype), "")) for field in view.features}
    groups: dict[tuple[str, ...], list[TimedRow]] = defaultdict(list)
    for row in sorted(rows, key=itemgetter(0)):
        groups[tuple(sorted(row.values))].append(row)
    for group in groups.values():
        layout = layout_of([row.values for row in group], declared)
        number = file.number_of(layout)
        for row in group:
            yield row.key, row.event_us, row.created_us, number, layout.pack(row.values)


def merged(file: OnlineFile, name: str, rows: Sequence[TimedRow]) -> list[TimedRow]:
    """`rows` laid over what is stored, oldest first; those older than the stored row are left out."""
    stored: dict[bytes, TimedRow] = {
        key: TimedRow(key, row.event_us, row.created_us, row.layout.values(row.packed)) for key, row in file.read(name, [r.key for r in rows]).items()
    }
    changed = {}
    for row in sorted(rows, key=_age):
        before = stored.get(row.key)
        if before is None or _age(row) >= _age(before):
            stored[row.key] = changed[row.key] = row if before is None else row._replace(values=before.values | row.values)
    return list(changed.values())


def _age(row: TimedRow) -> tuple[int, int]:
    return row.event_us, row.created_us or 0


def repack(file: OnlineFile, view: FeatureView) -> Callable[[Iterable[OldRow]], Iterable[WriteRow]]:
    """How rows of Feast's own layout are packed."""
    return lambda rows: packed(file, [TimedRow(*row) for row in rows], view)


_KINDS = {
    "String": "string_val",
    "Bytes": "bytes_val",
    "Float64": "double_val",
    "Float32": "float_val",
    "Int64": "int64_val",
    "Int32": "int32_val",
    "Bool": "bool_val",
    "UnixTimestamp": "unix_timestamp_val",
}
"""Kind of a column that has no value in a batch, by the type that its view declares."""
