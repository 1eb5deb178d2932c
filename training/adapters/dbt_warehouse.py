"""The warehouse: dbt, run as a process of its own because DuckDB allows one writing process and dbt keeps its locks (dbt-core#11980)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from training.adapters.dbt_results import DbtRun, explain, read_run
from training.adapters.parquet import empty_table, write_parquet
from training.adapters.ports import BuildReport
from training.config.settings import ROOT, Settings
from training.domain.errors import StepError
from training.domain.schema import RAW, Table

PROJECT = ROOT / "dbt"
_TAIL = 40
"""Lines of dbt's output that are kept for the case that it dies without results."""
_TELLING = (" OK created ", " OK loaded ", " ERROR ", " FAIL ", " WARN ", "Finished running")


class DbtWarehouse:
    """Runs `dbt build` in `dbt/`. Unit tests are left out: they test the SQL, not the day's rows, and belong to CI."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._target = settings.home.absolute() / "dbt"

    def build(self, day: date) -> BuildReport:
        """Build and test everything as it was known at the end of `day`, and export the marts if all of it passed.

        Raises StepError with dbt's own message for each node that failed; the marts of the previous build then remain.
        """
        for folder in (self._target, self._settings.marts):
            folder.mkdir(parents=True, exist_ok=True)
        results = self._target / "run_results.json"
        results.unlink(missing_ok=True)
        code, tail = _stream(self._command(day), environment(self._settings))
        run = read_run(results)
        if code != 0 or run is None:
            raise StepError(explain(run, tail, day))
        return _report(run)

    def _command(self, day: date) -> list[str]:
        run = [sys.executable, "-P", "-m", "dbt.cli.main", "--no-use-colors", "build", "--exclude-resource-type", "unit_test"]
        where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(self._target), "--log-path", str(self._target)]
        return [*run, *where, "--vars", f"{{day: '{day.isoformat()}'}}"]


def environment(settings: Settings) -> dict[str, str]:
    """What dbt's YAML reads from the environment, on top of this process's own."""
    home = settings.home.absolute()
    return {
        **os.environ,
        "RIGHTMATCH_WAREHOUSE": str(settings.warehouse.absolute()),
        "RIGHTMATCH_MARTS": _quoted(settings.marts.absolute()),
        "RIGHTMATCH_CATALOG": os.path.relpath(settings.catalog.absolute(), PROJECT),
        **{f"RIGHTMATCH_RAW_{t.name.upper()}": _location(t, settings.raw.absolute(), home / "dbt" / "empty") for t in RAW.values()},
        "PGTZ": "UTC",
        "DO_NOT_TRACK": "1",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "False",
    }


def _location(table: Table, raw: Path, empty: Path) -> str:
    """The table's files; a table of which nothing has landed yet is read from an empty file, because DuckDB refuses a pattern without files."""
    pattern = f"{table.name}/*/*.parquet"
    if any(raw.glob(pattern)):
        return _quoted(raw / pattern)
    file = empty / table.name / "day=1970-01-01" / "part.parquet"
    write_parquet(empty_table(table), file)
    return _quoted(file)


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def _stream(command: list[str], env: Mapping[str, str]) -> tuple[int, list[str]]:
    tail: deque[str] = deque(maxlen=_TAIL)
    with subprocess.Popen(command, cwd=PROJECT, env=dict(env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        for line in process.stdout or ():
            tail.append(line.rstrip())
            if any(word in line for word in _TELLING):
                print(line.rstrip(), flush=True)
    return process.returncode, list(tail)


def _report(run: DbtRun) -> BuildReport:
    return BuildReport(
        invocation_id=run.invocation_id,
        models=sum(n.kind == "model" for n in run.nodes),
        tests=sum(n.kind == "test" for n in run.nodes),
        seconds=run.seconds,
    )
