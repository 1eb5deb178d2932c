"""Proof of a batch: first the files' columns and types, then the rows, in DuckDB over the staged copies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from training.adapters.landing_copy import fits
from training.adapters.landing_files import Partition, Raw
from training.adapters.landing_rules import REPEATED, Check, across_rows, listed, quoted, within_rows
from training.adapters.landing_violations import SAMPLES, Violation
from training.adapters.parquet import empty_table
from training.domain.catalog import Catalog
from training.domain.nouns import NONE
from training.domain.schema import RAW, Table


def check_files(batch: Iterable[Partition]) -> list[Violation]:
    """Unreadable files, missing columns and wrong types. Columns that the schema does not have are told on standard output; they will not land."""
    wrong: list[Violation] = []
    extra: dict[tuple[str, str], int] = {}
    for partition in batch:
        for file in partition.files:
            wrong += _check_file(RAW[partition.table], file, f"{partition.table}/{file.parent.name}/{file.name}", extra)
    for (table, column), files in extra.items():
        print(f"Note: column {column} of {files} file(s) of {table} is not in the data contract and is left out.", flush=True)
    return wrong


def _check_file(table: Table, file: Path, label: str, extra: dict[tuple[str, str], int]) -> list[Violation]:
    try:
        found = pq.read_schema(file)
    except (pa.ArrowInvalid, OSError):
        return [Violation(table.name, "is not a readable Parquet file", label)]
    for name in found.names:
        if name not in table.names:
            extra[table.name, name] = extra.get((table.name, name), 0) + 1
    wrong = []
    missing = [name for name in table.names if name not in found.names]
    if missing:
        wrong.append(Violation(table.name, f"missing column(s) {', '.join(missing)}", label))
    twice = sorted({name for name in table.names if found.names.count(name) > 1})
    if twice:
        wrong.append(Violation(table.name, f"column(s) {', '.join(twice)} are there more than once", label))
    for column in table.columns:
        if column.name not in [*missing, *twice] and not fits(found.field(column.name).type, column.type):
            rule = f"column {column.name} must be {column.type.value}, not {found.field(column.name).type}"
            wrong.append(Violation(table.name, rule, label))
    return wrong


def check_rows(batch: list[Partition], raw: Raw, catalog: Catalog) -> list[Violation]:
    """Rows of the staged `batch` that break a rule by themselves, against each other or against what has landed and stays."""
    labels = {(p.table, p.day): p.label for p in batch}
    with duckdb.connect(config={"temp_directory": str(raw.scratch)}) as connection:
        _views(connection, batch, raw)
        wrong: list[Violation] = []
        for table in RAW.values():
            if any(p.table == table.name for p in batch):
                wrong += _within(connection, table, catalog, labels)
        replaced = {p.table for p in batch if (p.table, p.day) in raw.days()}
        for check in across_rows({p.table for p in batch}, replaced):
            wrong += _broken(connection, check, labels)
        wrong += _menus(connection, catalog, labels)
    return wrong


def _views(connection: duckdb.DuckDBPyConnection, batch: Iterable[Partition], raw: Raw) -> None:
    """`batch_TABLE` is what comes, `rest_TABLE` what has landed and is not replaced, `all_TABLE` both."""
    coming = {(p.table, p.day): raw.staged(p.table, p.day) for p in batch}
    staying = {key: file for key, file in raw.days().items() if key not in coming}
    for table in RAW.values():
        _view(connection, f"batch_{table.name}", table, coming)
        _view(connection, f"rest_{table.name}", table, staying)
        connection.execute(f'CREATE VIEW "all_{table.name}" AS FROM "batch_{table.name}" UNION ALL FROM "rest_{table.name}"')


def _view(connection: duckdb.DuckDBPyConnection, name: str, table: Table, files: Mapping[tuple[str, date], Path]) -> None:
    paths = [quoted(str(file.absolute())) for (owner, _), file in files.items() if owner == table.name]
    if paths:
        columns = ", ".join(f'"{c}"' for c in table.names)
        read = f"read_parquet([{', '.join(paths)}], hive_partitioning=true, hive_types={{'day': DATE}})"
        connection.execute(f'CREATE VIEW "{name}" AS SELECT {columns}, day FROM {read}')  # noqa: S608 - names of the schema, paths quoted
    else:
        connection.register(name, empty_table(table).append_column("day", pa.array([], pa.date32())))


def _within(connection: duckdb.DuckDBPyConnection, table: Table, catalog: Catalog, labels: Mapping[tuple[str, date], str]) -> Iterator[Violation]:
    """All rules that one row can break: counted in one scan, then the few that are broken are looked at again for days and ids.

    FILTER and not WHERE: DuckDB 2.0 drops row groups by their Parquet statistics, which leave NaN out, so that `WHERE NOT isfinite(x)` finds no NaN.
    """
    checks = within_rows(table, catalog)
    counts = ", ".join(f"count(*) FILTER (WHERE {c.condition})" for c in checks)
    found = connection.execute(f'SELECT {counts} FROM "batch_{table.name}"').fetchone() or ()  # noqa: S608 - as above
    for check, count in zip(checks, found, strict=True):
        if count:
            ids = f"coalesce(\"{table.key[0]}\", '(no id)')"
            told = f"count(*) FILTER (WHERE {check.condition}), min({ids}, {SAMPLES}) FILTER (WHERE {check.condition})"
            query = f'SELECT day, {told} FROM "batch_{table.name}" GROUP BY day ORDER BY day'  # noqa: S608 - as above
            yield from _violations(connection, check, query, labels)


def _broken(connection: duckdb.DuckDBPyConnection, check: Check, labels: Mapping[tuple[str, date], str]) -> Iterator[Violation]:
    """A rule whose condition is a query that gives the id and day of each wrong row."""
    query = f"SELECT day, count(*), min(coalesce(id, '(no id)'), {SAMPLES}) FROM ({check.condition}) GROUP BY day ORDER BY day"  # noqa: S608 - as above
    yield from _violations(connection, check, query, labels)


def _violations(connection: duckdb.DuckDBPyConnection, check: Check, query: str, labels: Mapping[tuple[str, date], str]) -> Iterator[Violation]:
    for day, count, samples in connection.execute(query).fetchall():
        if count:
            label = labels.get((check.table, day), f"{check.table}/day={day.isoformat()} (landed before)")
            yield Violation(check.table, check.rule, label, count, tuple(samples))


def _menus(connection: duckdb.DuckDBPyConnection, catalog: Catalog, labels: Mapping[tuple[str, date], str]) -> Iterator[Violation]:
    """Lists of arms that repeat one or name one that the catalog does not have. Rows are looked for only where a distinct list is wrong."""
    connection.execute("CREATE TEMP TABLE menus AS SELECT DISTINCT feasible_arms FROM batch_decisions")
    if connection.execute(f"SELECT 1 FROM menus WHERE {REPEATED} LIMIT 1").fetchone():  # noqa: S608 - a constant
        yield from _broken(connection, listed(REPEATED, "feasible_arms names an arm twice"), labels)
    named = connection.execute("SELECT unnest(feasible_arms) FROM menus UNION SELECT DISTINCT chosen_arm FROM batch_decisions").fetchall()
    for (arm,) in sorted(a for a in named if a[0] is not None and a[0] != NONE and a[0] not in catalog.arms):
        wrong = f"list_contains(feasible_arms, {quoted(arm)}) OR chosen_arm = {quoted(arm)}"
        yield from _broken(connection, listed(wrong, f"arm {arm!r} is not in the catalog"), labels)
