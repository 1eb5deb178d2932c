"""One column of a file as numbers or as names, whatever type the file gave it. What has no such meaning is refused, never guessed."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from training.domain.errors import DataError
from training.evaluation.intervals import Floats

_POINT_ZERO = r"^(-?\d+)\.0+$"
_WORDS = {pa.float64(): "a number", pa.large_string(): "a name"}
_TRUTH = (r"^(?i:true)$", "1"), (r"^(?i:false)$", "0")


def numbers(values: pa.ChunkedArray, what: str) -> Floats:
    """Floats [n]: true/false as 1/0, decimals, and text that is a number; NaN for anything else. Raises DataError for types that hold no numbers."""
    values = _flat(values, what)
    kind = values.type
    if pa.types.is_temporal(kind):
        raise DataError(f"{what} holds times ({kind}), which have no mean to compare. Give a number or 0/1 column, such as days since then.")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        raise DataError(f"{what} holds {kind}, which is no number. Give a number or 0/1 column.")
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _spelled(values)
    if pa.types.is_boolean(kind):
        values = values.cast(pa.int8())
    return np.asarray(_cast(values, pa.float64(), what).to_numpy(), dtype=np.float64)


def _spelled(values: pa.ChunkedArray) -> Floats:
    words = pc.utf8_trim_whitespace(values)
    for pattern, digit in _TRUTH:
        words = pc.replace_substring_regex(words, pattern, digit)
    return np.asarray(pd.to_numeric(words.to_pandas(), errors="coerce"), dtype=np.float64)


def text(values: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """Large strings [n], null where missing. Raises DataError for types that cannot name anything."""
    values = _flat(values, what)
    if pa.types.is_floating(values.type):
        if pa.types.is_float16(values.type):
            values = values.cast(pa.float32())
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, values.type), values)
        with suppress(pa.ArrowException):
            values = values.cast(pa.int64())  # 1e15 would be written in another way than the integer that it is
    return _cast(values, pa.large_string(), what)


def plain(names: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Without outer spaces, whole numbers without a decimal point: 3, 3.0 and " 3" are one name."""
    return pc.replace_substring_regex(pc.utf8_trim_whitespace(names), _POINT_ZERO, r"\1")


def _flat(values: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """Without dictionary; one value a row, each a valid one of its type."""
    if pa.types.is_nested(values.type):
        raise DataError(f"{what} holds {values.type}, which is not one value a row. Give numbers or text, one column each.")
    try:
        values.validate(full=True)
    except pa.ArrowException as error:
        raise DataError(f"{what} holds a value that is not valid {values.type}, so it cannot be read: {error}. Write the file again.") from error
    return _cast(values, values.type.value_type, what) if pa.types.is_dictionary(values.type) else values


def _cast(values: pa.ChunkedArray, kind: pa.DataType, what: str) -> pa.ChunkedArray:
    try:
        return values.cast(kind, safe=pa.types.is_large_string(kind))
    except (pa.ArrowException, ValueError, OverflowError) as error:
        raise DataError(f"{what} holds {values.type}, of which a value cannot be read as {_WORDS.get(kind, kind)}. Give numbers or text.") from error
