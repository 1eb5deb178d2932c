"""Parquet files in the types of `domain.schema`."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from training.domain.schema import Table, Type

_ARROW = {
    Type.TEXT: pa.string(),
    Type.FLOAT: pa.float64(),
    Type.INT: pa.int64(),
    Type.BOOL: pa.bool_(),
    Type.TIME: pa.timestamp("us", tz="UTC"),
    Type.DATE: pa.date32(),
    Type.TEXTS: pa.list_(pa.string()),
    Type.FLOATS: pa.list_(pa.float64()),
}


def arrow_schema(table: Table) -> pa.Schema:
    """The table's columns in order, as Arrow types; times are UTC with microseconds."""
    return pa.schema([pa.field(c.name, _ARROW[c.type], nullable=True) for c in table.columns])


def empty_table(table: Table) -> pa.Table:
    """No rows, all columns."""
    return arrow_schema(table).empty_table()


def days_in(file: Path) -> tuple[date, ...]:
    """The days of a mart, oldest first; none where there is no file."""
    if not file.is_file():
        return ()
    return tuple(sorted(pc.unique(pq.ParquetFile(file).read(columns=["day"])["day"]).to_pylist()))


def write_parquet(rows: pa.Table, file: Path) -> None:
    """Write aside, then rename: a reader sees the old file or the new one, never a part."""
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_name(f".{file.name}.aside")
    pq.write_table(rows, aside, compression="zstd")
    aside.replace(file)
