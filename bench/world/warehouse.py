"""The platform's own SQL, day after day, without a process of dbt a day.

What users run is `dbt build` once a day. A benchmark of several policies, seeds and weeks would need hundreds of those, five seconds each, most of it dbt's
start. So dbt compiles the models twice, once as a first build and once as a day's increment, and this file runs that SQL in a DuckDB of its own,
with the same materialisations: views, tables, and `delete+insert` for the incremental ones. Only the tables of staging and of members' events get the rows
of the day instead of being made again from all days: in the simulated world nothing lands late or twice, so no day changes the rows of another.
A second implementation of the features in Python would prove nothing about the SQL; tests/bench/world/test_warehouse.py compares with the platform's own
path, from landing to the point-in-time join.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sources.write import conform, empty
from training.adapters.dbt_state import PROJECT
from training.adapters.dbt_warehouse import environment
from training.config.settings import Settings
from training.domain.errors import StepError
from training.domain.schema import ARM_FEATURES, DECISION_OUTCOMES, MEMBER_FEATURES, RAW

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

DAY = "1970-01-02"
"""What stands for the day in the compiled SQL."""
WANTED = (MEMBER_FEATURES.name, ARM_FEATURES.name, DECISION_OUTCOMES.name)
EVENTS = "member_events"
"""Each row belongs to the day on which it was known."""
_FILES = re.compile(r"read_parquet\('[^']*/(\w+)/day=1970-01-01/part\.parquet'[^)]*\)")


@dataclass(frozen=True)
class Model:
    """One dbt model. `first` is its SQL for a first build, `daily` for one more day, which are the added rows alone where `appended`; `hook` runs before the
    latter where there is one.
    """

    name: str
    kind: str
    key: str
    first: str
    daily: str
    hook: str
    appended: bool


def compiled(settings: Settings) -> tuple[Model, ...]:
    """All models that the marts of features and labels need, in the order in which they are built. Runs dbt twice. Raises StepError if it fails."""
    with tempfile.TemporaryDirectory() as folder:
        own = settings.model_copy(update={"home": Path(folder)})
        own.candidate.mkdir()
        first = _nodes(own, "build", "--full-refresh", "--resource-type", "seed", "--resource-type", "model")
        daily = _nodes(own, "compile", "--select", "resource_type:model")
    return tuple(_model(first[name], daily[name]) for name in _ordered(first))


class Warehouse:
    """The raw tables and marts of one history, in memory or in the file `path`."""

    def __init__(self, models: tuple[Model, ...], catalog: Path, path: Path | None = None) -> None:
        import duckdb

        self._models = models
        self._db: duckdb.DuckDBPyConnection = duckdb.connect(str(path or ":memory:"), config={"threads": 1})
        self._db.execute("set timezone = 'UTC'")
        if not self._db.execute("select 1 from duckdb_tables() where table_name = 'arms'").fetchall():
            self._db.execute("create table arms as select * from read_csv(?, all_varchar = true)", [str(catalog / "arms.csv")])
            for name in RAW:
                self._insert(f"create table raw_{name} as select *, date '1970-01-01' as day from landed", empty(name))  # noqa: S608 - names of our schema

    def land(self, day: date, tables: Mapping[str, pa.Table]) -> None:
        """Add the raw rows of one day."""
        for name, rows in tables.items():
            self._insert(f"insert into raw_{name} select *, date '{day.isoformat()}' as day from landed", conform(name, rows))  # noqa: S608 - names of our schema

    def build(self, day: date, *, first: bool = False) -> None:
        """Build the marts as of the end of `day`: all days with `first`, else that day alone on top of the days before, each of which was built once."""
        for m in self._models:
            sql = (m.first if first else m.daily).replace(DAY, day.isoformat())
            if m.kind == "view":
                self._db.execute(f"create or replace view {m.name} as {sql}")
            elif m.appended and not first:
                self._db.execute(f"insert into {m.name} {sql}")
            elif m.kind == "table" or first:
                self._db.execute(f"create or replace table {m.name} as {sql}")
            else:
                self._db.execute(m.hook.replace(DAY, day.isoformat()))
                self._db.execute(f"create or replace temp table fresh as {sql}")
                self._db.execute(f"delete from {m.name} where {m.key} in (select {m.key} from fresh)")  # noqa: S608 - names of our models
                self._db.execute(f"insert into {m.name} select * from fresh")  # noqa: S608 - as above

    def ask(self, query: str, **tables: pa.Table) -> pa.Table:
        """The answer to `query`, which may name `tables`."""
        for name, rows in tables.items():
            self._db.register(name, rows)
        answer: pa.Table = self._db.sql(query).to_arrow_table()
        for name in tables:
            self._db.unregister(name)
        return answer

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def _insert(self, statement: str, rows: pa.Table) -> None:
        self._db.register("landed", rows)
        self._db.execute(statement)
        self._db.unregister("landed")


def _nodes(settings: Settings, *verb: str) -> dict[str, dict[str, Any]]:
    target = settings.home / "dbt"
    where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(target), "--log-path", str(target)]
    command = [sys.executable, "-P", "-m", "dbt.cli.main", "--no-use-colors", *verb, *where]
    day = date.fromisoformat(DAY)
    done = subprocess.run(command, env=environment(settings, day, day), cwd=PROJECT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StepError(
            f"dbt {verb[0]} failed, so there is no SQL to compute features with:\n{(done.stdout + done.stderr)[-2000:]}\nCorrect the models in dbt/."
        )
    nodes = json.loads((target / "manifest.json").read_text(encoding="utf-8"))["nodes"]
    return {n["name"]: n for n in nodes.values() if n["resource_type"] == "model"}


def _ordered(nodes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """WANTED and what they are made of, parents first."""
    order: list[str] = []

    def visit(name: str) -> None:
        if name in nodes and name not in order:
            for parent in nodes[name]["depends_on"]["nodes"]:
                visit(parent.rsplit(".", 1)[1])
            order.append(name)

    for name in WANTED:
        visit(name)
    return order


def _model(first: Mapping[str, Any], daily: Mapping[str, Any]) -> Model:
    name, kind, sql = daily["name"], daily["config"]["materialized"], daily["compiled_code"]
    hook = f"delete from {name} where day >= date '{DAY}'" if name == MEMBER_FEATURES.name else "select 1"  # noqa: S608 - as `forget_days` says
    staging = kind == "table" and _FILES.search(sql) is not None
    more = _plain(sql, rf"(select * from raw_\1 where day = date '{DAY}')" if staging else r"raw_\1")  # noqa: S608 - names of our schema
    if name == EVENTS:
        more = f"select * from ({more}) where known_on = date '{DAY}'"  # noqa: S608 - our own model
    return Model(name, kind, daily["config"].get("unique_key") or "", _plain(first["compiled_code"], r"raw_\1"), more, hook, staging or name == EVENTS)


def _plain(sql: str, raw: str) -> str:
    """Without the name of dbt's database, and with `raw` for the empty files that it was compiled against."""
    return _FILES.sub(raw, sql.replace('"warehouse"."main".', ""))
