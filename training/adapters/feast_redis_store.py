"""Feast's Redis online store with lookups that make no protobuf message unless they are asked for one. Its layout and its writes are Feast's.

`online_store: {type: training.adapters.feast_redis_store.ColumnarRedisOnlineStore, connection_string: HOST:PORT}`
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from struct import Struct
from typing import Any, Literal, NamedTuple

from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.online_response import OnlineResponse
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from feast.type_map import feast_value_type_to_python_type
from google.protobuf.timestamp_pb2 import Timestamp

from training.adapters.feast_lookup import Plans
from training.adapters.feast_redis import bulks, connected, is_single
from training.adapters.feast_response import PackedResponse, Read

_DOUBLE = Struct("<d").unpack_from
_DOUBLE_TAG = Value.DESCRIPTOR.fields_by_name["double_val"].number << 3 | 1
_TEXT_TAG = Value.DESCRIPTOR.fields_by_name["string_val"].number << 3 | 2
_NUMBER_TAGS = {
    Value.DESCRIPTOR.fields_by_name[kind].number << 3 | wire: kind for kind, wire in (("int64_val", 0), ("int32_val", 0), ("bool_val", 0), ("float_val", 5))
}
_ONE_BYTE = 0x80
"""Lengths below it take one byte in protobuf."""


class ColumnarRedisOnlineStoreConfig(RedisOnlineStoreConfig):  # type: ignore[misc]
    """The options of Feast's Redis store."""

    type: Literal["training.adapters.feast_redis_store.ColumnarRedisOnlineStore"] = "training.adapters.feast_redis_store.ColumnarRedisOnlineStore"


class RedisRow(NamedTuple):
    """One entity's fields of a view as Redis gave them, in the order of `names`. Feast's Redis store calls an absent entity present, with nulls."""

    event_us: int
    names: Sequence[str]
    fields: Sequence[bytes | None]

    def python(self, _: Read) -> list[Any]:
        """See `Row`."""
        return [_python(each) for each in self.fields]

    def proto(self) -> tuple[datetime | None, dict[str, Value] | None]:
        """See `Row`."""
        values = {name: Value.FromString(each) if each else Value() for name, each in zip(self.names, self.fields, strict=True)}
        return datetime.fromtimestamp(self.event_us / 1_000_000, tz=UTC), values


class ColumnarRedisOnlineStore(RedisOnlineStore):  # type: ignore[misc]
    """Feast's store; plain requests (see `feast_lookup`) to one server are sent as bytes, in one round trip for all views and entities."""

    def __init__(self) -> None:
        super().__init__()
        self._plans = Plans()

    def get_online_features(self, *args: Any, **kwargs: Any) -> OnlineResponse:  # noqa: ANN401 - Feast's own arguments
        """Feast's lookup, with the same answer."""
        config: RepoConfig = kwargs["config"] if "config" in kwargs else args[0]
        request = self._plans.request(*args, **kwargs) if is_single(config) else None
        if request is None:
            return super().get_online_features(*args, **kwargs)
        plan, entities, keys = request
        project = config.project.encode()
        commands = []
        for read, wanted in zip(plan.reads, keys, strict=True):
            before, after = read.memo.get("command") or _prepared(read, config)
            commands += [b"%b$%d\r\n%b%b\r\n%b" % (before, len(key) + len(project), key, project, after) for key in wanted]
        with connected(self, config) as exchange:
            replies = iter(exchange(commands))
        rows = [[_row(read, next(replies)) for _ in wanted] for read, wanted in zip(plan.reads, keys, strict=True)]
        return PackedResponse(plan, entities, rows)


def _prepared(read: Read, config: RepoConfig) -> tuple[bytes, bytes]:
    """What stands before and after the key in the command that asks for the read's fields and its time."""
    view = compute_versioned_name(read.view, config.registry.enable_online_feature_view_versioning)
    fields = [*(_mmh3(f"{view}:{name}") for name in read.names), f"_ts:{view}".encode()]
    prepared = b"*%d\r\n" % (len(fields) + 2) + bulks([b"HMGET"]), bulks(fields)
    read.memo["command"] = prepared
    return prepared


def _row(read: Read, reply: Sequence[bytes | None]) -> RedisRow:
    *fields, stamp = reply
    return RedisRow(_micros(stamp), read.names, fields)


def _micros(stamp: bytes | None) -> int:
    if not stamp:
        return 0
    at = Timestamp.FromString(stamp)
    return int(at.seconds * 1_000_000 + at.nanos // 1_000)


def _python(field: bytes | None) -> Any:  # noqa: ANN401 - whatever Feast makes of it
    """A serialized `Value` as Feast converts it; doubles and short texts, most of what members have, without making the message."""
    if not field:
        return None
    if field[0] == _DOUBLE_TAG:
        return _DOUBLE(field, 1)[0]
    if field[0] == _TEXT_TAG and field[1] < _ONE_BYTE:
        return field[2:].decode()
    value = Value.FromString(field)
    kind = _NUMBER_TAGS.get(field[0])
    return feast_value_type_to_python_type(value) if kind is None else getattr(value, kind)
