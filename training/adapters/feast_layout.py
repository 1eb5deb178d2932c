"""How the features of one member lie in one packed value: the columns, their kinds, packing and reading.

A packed row is, little-endian and without padding: a bitmap of what is null (bit i is column i), the fixed-width columns in order, the
length in bytes (uint32) of each other column, then the bytes of those. Each row of the online store names its layout, so that a row
written before a feature was added or removed is read by the columns that it was written with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from struct import Struct
from typing import Any

from feast.protos.feast.types.Value_pb2 import Value
from feast.type_map import NULL_TIMESTAMP_INT_VALUE, feast_value_type_to_python_type

WHOLE = "value"
"""Kind of a column that is kept as Feast's serialized `Value`: lists, maps, and columns of more than one kind."""

FIXED: Mapping[str, str] = {"double_val": "d", "float_val": "f", "int64_val": "q", "int32_val": "i", "unix_timestamp_val": "q", "bool_val": "?"}
"""Kinds of fixed width, by the field of Feast's `Value` that holds them, and how `struct` writes them."""

VARIABLE = ("string_val", "bytes_val", WHOLE)


@dataclass(frozen=True, eq=False)
class Layout:
    """The columns of a packed row as (feature, kind), where a kind is a field of Feast's `Value`, or `WHOLE`. Compared by identity."""

    columns: tuple[tuple[str, str], ...]

    @staticmethod
    def from_json(text: str) -> Layout:
        """The layout that `json` wrote."""
        return Layout(tuple((name, kind) for name, kind in json.loads(text)))

    def json(self) -> str:
        """One text a layout: equal layouts have equal texts."""
        return json.dumps(self.columns, separators=(",", ":"))

    @cached_property
    def fixed(self) -> tuple[int, ...]:
        """Columns of fixed width, in the order in which they lie in the row."""
        return tuple(i for i, (_, kind) in enumerate(self.columns) if kind in FIXED)

    @cached_property
    def variable(self) -> tuple[int, ...]:
        """The other columns, in the order in which they lie in the row."""
        return tuple(i for i, (_, kind) in enumerate(self.columns) if kind not in FIXED)

    @property
    def null_bytes(self) -> int:
        """Length of the bitmap."""
        return (len(self.columns) + 7) // 8

    @cached_property
    def head(self) -> Struct:
        """What precedes the bytes of the variable columns: bitmap, fixed columns, lengths."""
        codes = "".join(FIXED[self.columns[i][1]] for i in self.fixed)
        return Struct(f"<{self.null_bytes}s{codes}{'I' * len(self.variable)}")

    def pack(self, values: Mapping[str, Value]) -> bytes:
        """One row of Feast's values, each of its column's kind or null."""
        nulls, fixed, tail = 0, [], []
        for i in (*self.fixed, *self.variable):
            name, kind = self.columns[i]
            value = values[name]
            if value.WhichOneof("val") is None:
                nulls |= 1 << i
            if kind in FIXED:
                fixed.append(getattr(value, kind))
            else:
                tail.append(_bytes(value, kind))
        return self.head.pack(nulls.to_bytes(self.null_bytes, "little"), *fixed, *map(len, tail)) + b"".join(tail)

    def values(self, row: bytes) -> dict[str, Value]:
        """Feast's values of a packed row by feature, the very ones that were packed."""
        nulls, parts = self._parts(row)
        return {name: Value() if nulls >> i & 1 else _value(kind, parts[i]) for i, (name, kind) in enumerate(self.columns)}

    def reader(self, names: Sequence[str]) -> Callable[[bytes], list[Any]]:
        """A function from a packed row to the Python values of `names`, as Feast converts them; None where null or not in this layout."""
        place = {name: i for i, (name, _) in enumerate(self.columns)}
        order = (*self.fixed, *self.variable)
        at_head = {column: position + 1 for position, column in enumerate(order)}
        wanted = [(out, place[name], self.columns[place[name]][1]) for out, name in enumerate(names) if name in place]
        plain = [(out, 1 << i, at_head[i]) for out, i, kind in wanted if kind in FIXED and kind != "unix_timestamp_val"]
        times = [(out, 1 << i, at_head[i]) for out, i, kind in wanted if kind == "unix_timestamp_val"]
        outputs = {i: (out, kind) for out, i, kind in wanted}
        tail = [(at_head[i], 1 << i, *outputs.get(i, (-1, ""))) for i in self.variable]
        unpack, start, count = self.head.unpack_from, self.head.size, len(names)

        def read(row: bytes) -> list[Any]:
            head = unpack(row)
            nulls = int.from_bytes(head[0], "little")
            values: list[Any] = [None] * count
            for out, bit, at in plain:
                if not nulls & bit:
                    values[out] = head[at]
            for out, bit, at in times:
                if not nulls & bit:
                    values[out] = _instant(head[at])
            begin = start
            for at, bit, out, kind in tail:
                end = begin + head[at]
                if out >= 0 and not nulls & bit:
                    values[out] = row[begin:end].decode() if kind == "string_val" else _python(kind, row[begin:end])
                begin = end
            return values

        return read

    def _parts(self, row: bytes) -> tuple[int, dict[int, Any]]:
        head = self.head.unpack_from(row)
        parts: dict[int, Any] = dict(zip(self.fixed, head[1:], strict=False))
        begin = self.head.size
        for i, length in zip(self.variable, head[1 + len(self.fixed) :], strict=True):
            parts[i] = row[begin : begin + length]
            begin += length
        return int.from_bytes(head[0], "little"), parts


def layout_of(rows: Sequence[Mapping[str, Value]], declared: Mapping[str, str]) -> Layout:
    """A layout that fits all `rows`, which name the same features; `declared` gives the kind of a column without one value."""
    return Layout(tuple((name, _kind({str(row[name].WhichOneof("val") or "") for row in rows} - {""}, declared.get(name, WHOLE))) for name in sorted(rows[0])))


def known(kind: str) -> str:
    """`kind` where rows have a place for it, else `WHOLE`."""
    return kind if kind in FIXED or kind in VARIABLE else WHOLE


def _kind(seen: set[str], declared: str) -> str:
    return declared if not seen else known(min(seen)) if len(seen) == 1 else WHOLE


def _bytes(value: Value, kind: str) -> bytes:
    if kind == WHOLE:
        return bytes(value.SerializeToString())
    content: str | bytes = getattr(value, kind)
    return content.encode() if isinstance(content, str) else content


def _value(kind: str, part: Any) -> Value:  # noqa: ANN401 - a number or bytes, as the kind says
    if kind == WHOLE:
        whole: Value = Value.FromString(part)
        return whole
    return Value(**{kind: part.decode() if kind == "string_val" else part})


def _python(kind: str, part: bytes) -> Any:  # noqa: ANN401 - whatever Feast makes of it
    return part if kind == "bytes_val" else feast_value_type_to_python_type(Value.FromString(part))


def _instant(seconds: int) -> datetime | None:
    return None if seconds == NULL_TIMESTAMP_INT_VALUE else datetime.fromtimestamp(seconds, tz=UTC)
