"""Batches by column into Redis, in the very layout of Feast's own Redis store: one hash an entity, one field a feature, one for the time.

Feast's readers and writers go on working beside it. The commands of a batch are put together as bytes, column by column, because the
Redis client spends longer on packing the 50 arguments of a row than the server on storing it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView
from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name
from feast.infra.online_stores.redis import RedisClient, RedisOnlineStore, RedisType
from feast.protos.feast.types.Value_pb2 import Value
from feast.repo_config import RepoConfig
from google.protobuf.timestamp_pb2 import Timestamp

from training.adapters.feast_columns import Batch, Column, binary_rows, joined
from training.adapters.feast_layout import WHOLE

AT_ONCE = 500
"""Rows sent before the replies are read, so that neither side waits on a full socket."""

END = b"\r\n"
_FLOATS = {"double_val": (8, 1), "float_val": (4, 5)}
"""Width in bytes and protobuf wire type."""

_NULL = pa.scalar(b"$0\r\n\r\n", pa.binary())


class RedisColumns:
    """Writes columns through the connection of Feast's store."""

    def __init__(self, store: RedisOnlineStore) -> None:
        self._store = store

    @staticmethod
    def over(store: RedisOnlineStore, config: RepoConfig) -> RedisColumns | None:
        """A writer for one Redis server; None for a cluster or sentinels or another client, whose routing is left to Feast."""
        return RedisColumns(store) if is_single(config) else None

    def write_columns(self, config: RepoConfig, table: FeatureView, batch: Batch) -> None:
        """Write rows that are not older than what is stored, by event time.

        Feast's own writer also refuses the same instant, and so every correction of a day; here the later one wins.
        """
        view = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
        stamp = f"_ts:{view}".encode()
        keys = joined(batch.keys, config.project.encode())
        times = batch.event_us.to_numpy(zero_copy_only=False)
        with connected(self._store, config) as exchange:
            stored = exchange(_commands([bulks([b"HMGET"]), _bulk(keys), bulks([stamp])]).to_pylist())
            newer = pa.array([times[i] >= _micros(reply[0]) for i, reply in enumerate(stored)], pa.bool_())
            writes = [bulks([b"HSET"]), _bulk(keys), bulks([stamp]), _bulk(_stamps(times))]
            for column in batch.columns:
                writes += [bulks([_mmh3(f"{view}:{column.name}")]), _value_bulk(column)]
            commands = _commands(writes).filter(newer).to_pylist()
            if config.online_store.key_ttl_seconds:
                expiry = bulks([str(config.online_store.key_ttl_seconds).encode()])
                commands += _commands([bulks([b"EXPIRE"]), _bulk(keys), expiry]).filter(newer).to_pylist()
            exchange(commands)


def is_single(config: RepoConfig) -> bool:
    """Whether the store is one server, asked through redis-py: commands need no routing."""
    return bool(config.online_store.redis_type == RedisType.redis and config.online_store.client == RedisClient.redis)


@contextlib.contextmanager
def connected(store: RedisOnlineStore, config: RepoConfig) -> Iterator[Callable[[Sequence[bytes]], list[Any]]]:
    """A function from commands, each packed as bytes, to their replies, over one connection of the store's own pool."""
    pool = store._get_client(config.online_store).connection_pool  # noqa: SLF001 - the store's own connection, with its options
    connection = pool.get_connection()
    try:
        yield lambda commands: _exchange(connection, commands)
    except BaseException:
        connection.disconnect()  # replies that were not read must not be taken for those of the next command
        raise
    finally:
        pool.release(connection)


def _exchange(connection: Any, commands: Sequence[bytes]) -> list[Any]:  # noqa: ANN401 - a connection of the Redis client
    replies = []
    for begin in range(0, len(commands), AT_ONCE):
        part = commands[begin : begin + AT_ONCE]
        connection.send_packed_command([b"".join(part)])
        replies += [connection.read_response() for _ in part]
    return replies


def _commands(arguments: Sequence[Any]) -> pa.Array:
    """One command a row: the number of its arguments, then each as a bulk string."""
    return joined(b"*%d\r\n" % len(arguments), *arguments)


def bulks(constants: Sequence[bytes]) -> bytes:
    """Arguments of a command as the protocol has them."""
    return b"".join(b"$%d\r\n%s\r\n" % (len(each), each) for each in constants)


def _bulk(values: pa.Array) -> pa.Array:
    lengths = pc.binary_length(values).cast(pa.string()).cast(pa.binary())
    return joined(b"$", lengths, END, values, END)


def _value_bulk(column: Column) -> pa.Array:
    """Feast's serialized `Value` of each row as a bulk string; null is the empty message."""
    if column.kind in _FLOATS:
        return pc.if_else(pa.array(column.nulls), _NULL, binary_rows(_float_bulk(column)))
    if column.kind == WHOLE:
        return _bulk(column.values)
    values = column.values if isinstance(column.values, pa.Array) else pa.array(column.values)
    distinct = values.dictionary_encode()
    protos = pa.array(list(_serialized(column.kind, distinct.dictionary.to_pylist())), pa.binary())
    return pc.if_else(pa.array(column.nulls), _NULL, _bulk(protos).take(distinct.indices.fill_null(0)) if len(protos) else _NULL)


def _float_bulk(column: Column) -> npt.NDArray[np.uint8]:
    width, wire = _FLOATS[column.kind]
    tag = bytes([Value.DESCRIPTOR.fields_by_name[column.kind].number << 3 | wire])
    before = np.frombuffer(b"$%d\r\n%s" % (width + 1, tag), dtype=np.uint8)
    rows = len(column.values)
    content = np.ascontiguousarray(column.values, dtype=f"<f{width}").view(np.uint8).reshape(rows, width)
    return np.hstack([np.tile(before, (rows, 1)), content, np.tile(np.frombuffer(END, dtype=np.uint8), (rows, 1))])


def _serialized(kind: str, values: Sequence[Any]) -> Iterator[bytes]:
    for value in values:
        yield Value(**{kind: value.decode() if kind == "string_val" else value}).SerializeToString()


def _stamps(micros: Any) -> pa.Array:  # noqa: ANN401 - int64
    stamps = pa.array(micros).dictionary_encode()
    protos = [Timestamp(seconds=int(us) // 1_000_000, nanos=int(us) % 1_000_000 * 1_000).SerializeToString() for us in stamps.dictionary.to_pylist()]
    return pa.array(protos, pa.binary()).take(stamps.indices)


def _micros(stored: bytes | None) -> int:
    if stored is None:
        return -(2**63)
    stamp = Timestamp.FromString(stored)
    return int(stamp.seconds * 1_000_000 + stamp.nanos // 1_000)
