"""Copies of source files in the types of the schema."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.adapters.parquet import arrow_schema
from training.domain.schema import Table, Type


class CopyError(ValueError):
    """A value does not fit its column's type."""


def copy(files: Sequence[Path], table: Table, target: Path) -> int:
    """Write `files` as one file with exactly the columns of `table`; returns its rows. A single file that fits already is copied byte by byte.

    Raises CopyError for a value that cannot be cast. Times are kept to the microsecond. Memory: one row group.
    """
    schema = arrow_schema(table)
    target.parent.mkdir(parents=True, exist_ok=True)
    if len(files) == 1 and pq.read_schema(files[0]).equals(schema):
        shutil.copyfile(files[0], target)
        return int(pq.read_metadata(target).num_rows)
    rows = 0
    try:
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for file in files:
                with pq.ParquetFile(file) as source:
                    for group in range(source.num_row_groups):
                        part = conform(source.read_row_group(group, columns=schema.names), schema)
                        writer.write_table(part)
                        rows += part.num_rows
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError, OSError) as error:
        raise CopyError(str(error).splitlines()[0]) from error
    return rows


def conform(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """`rows` in the order and types of `schema`. Finer times lose what is below a microsecond."""
    columns = [rows.column(field.name).cast(field.type, safe=not pa.types.is_timestamp(field.type)) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def fits(found: pa.DataType, wanted: Type) -> bool:
    """Whether values of Arrow type `found` say the same as the schema's type. A time without a zone does not: it could be any hour."""
    if pa.types.is_null(found):
        return True
    if pa.types.is_dictionary(found):
        return fits(found.value_type, wanted)
    if wanted in _ELEMENTS:
        return _any(found, "list", "large_list", "fixed_size_list") and fits(found.value_type, _ELEMENTS[wanted])
    if wanted is Type.TIME:
        return bool(pa.types.is_timestamp(found) and found.tz is not None)
    return _any(found, *_KINDS[wanted])


_ELEMENTS = {Type.TEXTS: Type.TEXT, Type.FLOATS: Type.FLOAT}
_KINDS = {
    Type.TEXT: ("string", "large_string", "string_view"),
    Type.FLOAT: ("floating", "integer", "decimal"),
    Type.INT: ("integer",),
    Type.BOOL: ("boolean",),
    Type.DATE: ("date",),
}


def _any(found: pa.DataType, *kinds: str) -> bool:
    return any(getattr(pa.types, f"is_{kind}")(found) for kind in kinds)
