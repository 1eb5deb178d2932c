"""How every source leaves its rows: one folder a table and day, written aside and renamed, so that no reader sees half a file."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.domain.schema import RAW, Table, Type

# The same as in training/adapters/parquet.py: a source knows the domain only, and the domain knows no Arrow.
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
    """The Arrow schema of a table of `training.domain.schema`."""
    return pa.schema([pa.field(c.name, _ARROW[c.type]) for c in table.columns])


def conform(name: str, rows: pa.Table) -> pa.Table:
    """`rows` with the columns of raw table `name` in order; nullable ones that are missing become NULL."""
    schema = arrow_schema(RAW[name])
    columns = [rows.column(f.name).cast(f.type) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def empty(name: str) -> pa.Table:
    """No rows of raw table `name`."""
    return arrow_schema(RAW[name]).empty_table()


def day_file(root: Path, table: str, day: date) -> Path:
    """Where the rows of one table and day lie."""
    return root / table / f"day={day.isoformat()}" / "part.parquet"


def write_day(root: Path, day: date, tables: Mapping[str, pa.Table]) -> dict[str, int]:
    """Write the tables of one day that are not there yet; returns rows written per table (none for a kept one)."""
    written = {}
    for name, rows in tables.items():
        target = day_file(root, name, day)
        if target.is_file():
            continue
        write_file(target, conform(name, rows) if name in RAW else rows)
        written[name] = rows.num_rows
    return written


def write_file(target: Path, rows: pa.Table) -> None:
    """Write one day's file aside, then rename its folder into place."""
    aside = target.parent.with_name(f".{target.parent.name}.writing")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    pq.write_table(rows, aside / target.name, compression="zstd")
    shutil.rmtree(target.parent, ignore_errors=True)
    aside.rename(target.parent)


def write_part(root: Path, table: str, day: date, name: str, rows: pa.Table) -> None:
    """Add one file to a day's folder, beside those that others write there: aside under a hidden name, then renamed."""
    folder = day_file(root, table, day).parent
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{name}.writing"
    pq.write_table(rows, aside, compression="zstd")
    aside.replace(folder / f"{name}.parquet")


def report(first: date, last: date, rows: Mapping[str, int]) -> str:
    """The JSON object that is each source's last line on standard output."""
    return json.dumps({"last_day": last.isoformat(), "first_day": first.isoformat(), "rows": dict(rows)})
