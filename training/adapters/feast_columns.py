"""Columns of an Arrow batch to keys, times and feature columns of the online store, without a Python object a value.

Equal, byte for byte, to what Feast's own conversion by value (`feast.utils._convert_arrow_to_proto`) makes of the same batch, with one
exception: integers keep all 64 bits in columns with nulls, where Feast goes through float64 and loses those above 2^53.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView
from feast.protos.feast.types.Value_pb2 import ValueType as Proto
from feast.type_map import python_values_to_proto_values
from feast.value_type import ValueType

from training.adapters.feast_layout import FIXED, WHOLE, Layout

KEY_VERSION = 3
"""The `entity_key_serialization_version` whose keys are written here."""

Nulls = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Column:
    """One feature: its kind (see `Layout`), its values (numpy where the width is fixed, else a binary Arrow array), and which are null."""

    name: str
    kind: str
    values: Any
    nulls: Nulls


@dataclass(frozen=True)
class Batch:
    """Rows of a view, column by column: serialized entity keys (Arrow binary), microseconds since 1970, features by name.

    `created_us` has null where the created time is not known.
    """

    keys: pa.Array
    event_us: pa.Array
    created_us: pa.Array
    columns: tuple[Column, ...]


def read_batch(batch: pa.RecordBatch, view: FeatureView, join_keys: Mapping[str, ValueType]) -> Batch | None:
    """`batch` as columns; None where a key or a time has a type that only Feast's own conversion handles.

    Raises ValueError where a key or an event time is null or a feature is missing: such a row could never be found, or would be misread.
    """
    source = view.batch_source
    keys = entity_keys(batch, join_keys)
    event_us = _micros(batch, source.timestamp_field)
    created_us = _micros(batch, source.created_timestamp_column) if source.created_timestamp_column else pa.nulls(batch.num_rows, pa.int64())
    if keys is None or event_us is None or created_us is None:
        return None
    if event_us.null_count:
        raise ValueError(f"{event_us.null_count} rows of {view.name} have no {source.timestamp_field}, so nobody could tell how old they are. Fix the source.")
    columns = tuple(_column(batch, field.name, field.dtype.to_value_type()) for field in sorted(view.features, key=lambda field: field.name))
    return Batch(keys, event_us, created_us, columns)


def pack(batch: Batch) -> tuple[Layout, list[bytes]]:
    """The layout of `batch` and its rows packed in it."""
    layout = Layout(tuple((column.name, column.kind) for column in batch.columns))
    tails = [batch.columns[i].values for i in layout.variable]
    fields: list[tuple[Any, ...]] = [("nulls", np.uint8, (layout.null_bytes,))]
    fields += [(f"c{i}", f"<{np.dtype(FIXED[batch.columns[i].kind]).str[1:]}") for i in layout.fixed]
    fields += [(f"l{i}", "<u4") for i in layout.variable]
    head = np.zeros(len(batch.keys), dtype=np.dtype(fields))
    head["nulls"] = np.packbits(np.column_stack([column.nulls for column in batch.columns]), axis=1, bitorder="little")
    for i in layout.fixed:
        head[f"c{i}"] = batch.columns[i].values
    for i, values in zip(layout.variable, tails, strict=True):
        head[f"l{i}"] = pc.binary_length(values).fill_null(0).to_numpy(zero_copy_only=False)
    return layout, joined(binary_rows(head.view(np.uint8).reshape(len(head), -1)), *tails).to_pylist()


def joined(*parts: pa.Array) -> pa.Array:
    """The binary arrays put together row by row; null counts as nothing."""
    return pc.binary_join_element_wise(*parts, b"", null_handling="replace", null_replacement=b"")


def binary_rows(matrix: npt.NDArray[np.uint8]) -> pa.Array:
    """Each row of a byte matrix as one binary value."""
    rows, width = matrix.shape
    offsets = np.arange(0, (rows + 1) * width, width, dtype=np.int32) if width else np.zeros(rows + 1, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), rows, [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(matrix))])


def entity_keys(batch: pa.RecordBatch, join_keys: Mapping[str, ValueType]) -> pa.Array | None:
    """Keys serialized as Feast does (version 3); None where a key's type is not text or an integer of the declared width."""
    if not join_keys or any(name not in batch.schema.names for name in join_keys):
        return None
    parts: list[Any] = [key_prefix(sorted(join_keys))]
    for name in sorted(join_keys):
        values = batch.column(name)
        if values.null_count:
            raise ValueError(f"{values.null_count} rows have no {name}, so nobody could ever look them up. Remove them from the source.")
        content = _key_bytes(values, join_keys[name])
        if content is None:
            return None
        kind = np.full(len(values), Proto.STRING if join_keys[name] == ValueType.STRING else Proto.INT64, dtype="<u4")
        lengths = pc.binary_length(content).to_numpy(zero_copy_only=False).astype("<u4")
        parts += [binary_rows(np.column_stack([kind, lengths]).view(np.uint8)), content]
    return joined(*parts)


def key_prefix(names: Sequence[str]) -> bytes:
    """What a serialized key begins with: the number and the names of its join keys, sorted."""
    named = [struct.pack("<II", Proto.STRING, len(name.encode())) + name.encode() for name in names]
    return struct.pack("<I", len(names)) + b"".join(named)


def _key_bytes(values: pa.Array, value_type: ValueType) -> pa.Array | None:
    if value_type == ValueType.STRING and _is_text(values.type):
        return values.cast(pa.binary())
    if value_type == ValueType.INT64 and values.type == pa.int64():
        return binary_rows(values.to_numpy(zero_copy_only=False).astype("<i8").reshape(-1, 1).view(np.uint8))
    return None


def _micros(batch: pa.RecordBatch, name: str) -> pa.Array | None:
    if name not in batch.schema.names or not pa.types.is_timestamp(batch.schema.field(name).type):
        return None
    times = batch.column(name)
    return times.cast(pa.timestamp("us", times.type.tz), safe=False).cast(pa.int64())


def _column(batch: pa.RecordBatch, name: str, value_type: ValueType) -> Column:
    if name not in batch.schema.names:
        raise ValueError(f"Column {name} is not in the source, so its feature would be misread. Correct the view's schema or the source.")
    values = batch.column(name)
    nulls = values.is_null().to_numpy(zero_copy_only=False)
    if value_type == ValueType.STRING and _is_text(values.type):
        return Column(name, "string_val", values.cast(pa.binary()), nulls)
    if value_type == ValueType.BYTES and values.type == pa.binary():
        return Column(name, "bytes_val", values, nulls)
    if (value_type, values.type) in _NUMBERS:
        kind, zero = _NUMBERS[value_type, values.type]
        numbers = values.fill_null(zero).to_numpy(zero_copy_only=False)
        missing = nulls | np.isnan(numbers) if pa.types.is_floating(values.type) else nulls  # Feast takes NaN in a table for null
        return Column(name, kind, numbers, missing)
    if value_type == ValueType.UNIX_TIMESTAMP and pa.types.is_timestamp(values.type) and not nulls.all():
        seconds = values.to_numpy(zero_copy_only=False).astype("datetime64[s]").astype(np.int64)  # null is Feast's own sentinel, not a null
        return Column(name, "unix_timestamp_val", seconds, np.zeros(len(values), dtype=bool))
    protos = python_values_to_proto_values(values.to_numpy(zero_copy_only=False), value_type)
    empty = np.array([proto.WhichOneof("val") is None for proto in protos], dtype=bool)
    return Column(name, WHOLE, pa.array([proto.SerializeToString() for proto in protos], pa.binary()), empty)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


_NUMBERS: Mapping[tuple[ValueType, pa.DataType], tuple[str, Any]] = {
    (ValueType.DOUBLE, pa.float64()): ("double_val", 0.0),
    (ValueType.FLOAT, pa.float32()): ("float_val", 0.0),
    (ValueType.INT64, pa.int64()): ("int64_val", 0),
    (ValueType.INT32, pa.int32()): ("int32_val", 0),
    (ValueType.BOOL, pa.bool_()): ("bool_val", False),
}
"""Types of numbers for which converting is copying: (declared, stored) -> kind, and what stands where it is null."""
