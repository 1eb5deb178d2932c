"""The warehouse: dbt, run as a process of its own because DuckDB allows one writing process and dbt keeps its locks (dbt-core#11980)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque
from collections.abc import Mapping
from datetime import date
from pathlib import Path

from training.adapters.dbt_commands import BETWEEN
from training.adapters.dbt_failures import broken_rows
from training.adapters.dbt_freshness import SOURCES, stale
from training.adapters.dbt_parse import forget_another_projects
from training.adapters.dbt_results import DbtRun, explain, read_run
from training.adapters.dbt_state import PROJECT, BuildState, Plan
from training.adapters.marts import publish
from training.adapters.parquet import empty_table, write_parquet
from training.adapters.ports import BuildReport
from training.config.settings import Settings
from training.domain.errors import DataError, StepError
from training.domain.schema import RAW, Table

_TAIL = 40
"""Lines of dbt's output that are kept for the case that it dies without results."""
_TELLING = (" OK created ", " OK loaded ", " ERROR ", " FAIL ", " WARN ", "Finished running")


class DbtWarehouse:
    """Runs `dbt build` in `dbt/`. Unit tests are left out: they test the SQL, not the day's rows, and belong to CI."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._target = settings.home.absolute() / "dbt"
        self._state = BuildState(settings)

    def build(self, day: date) -> BuildReport:
        """Build and test everything as of the end of `day`, or of the newest built day where that is later, and export it as the candidate if all passed.

        The same landed files give the same marts, whatever was built before; an old day never takes later rows away.
        Raises NotReadyError where nothing of `day` or later has landed, DataError with the rows where only tests failed, StepError with dbt's
        own message where anything else did; what was exported before then remains.
        """
        plan = self._state.plan(day)
        print(_told(plan), flush=True)
        for folder in (self._target, self._settings.candidate):
            folder.mkdir(parents=True, exist_ok=True)
        results = self._target / "run_results.json"
        for left in (results, self._target / SOURCES):
            left.unlink(missing_ok=True)
        forget_another_projects(self._target)
        self._state.begin(plan)
        env = environment(self._settings, plan.until, plan.since, rejudge=plan.rejudge)
        code, tail = _stream(self._command(*self._builds(plan), BETWEEN, *self._ages()), env)
        run = read_run(results)
        if run is not None and run.only_tests_failed:
            raise DataError(broken_rows(run, self._settings.warehouse, plan.until))
        if code != 0 or run is None:
            raise StepError(explain(run, tail, plan.until))
        self._state.finish(plan)
        return _report(run, plan, self._stale())

    def publish(self) -> None:
        """Put the exported marts where all readers read, each copied aside and renamed; a second call finishes what a crash interrupted.

        Raises NotReadyError where a mart was never exported.
        """
        publish(self._settings.candidate, self._settings.marts)

    def _stale(self) -> tuple[str, ...]:
        """Raw tables that have fallen behind, told in the log."""
        found = stale(self._target, self._said)
        for sentence in found:
            print(f"WARNING {sentence}", flush=True)
        return found

    @property
    def _said(self) -> Path:
        """What `dbt source freshness` says after a build."""
        return self._target / "freshness.txt"

    def _builds(self, plan: Plan) -> list[str]:
        full = [] if plan.since else ["--full-refresh"]
        return [*self._dbt("build", "--exclude-resource-type", "unit_test"), *full]

    def _ages(self) -> list[str]:
        return self._dbt("source", "freshness")

    def _dbt(self, *verb: str) -> list[str]:
        where = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT), "--target-path", str(self._target), "--log-path", str(self._target)]
        return ["--no-use-colors", *verb, *where]

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-P", str(Path(__file__).with_name("dbt_commands.py")), str(self._said), *words]


def environment(settings: Settings, day: date, since: date | None = None, *, rejudge: bool = False) -> dict[str, str]:
    """What dbt's files read from the environment, on top of this process's own: where things are, and what to build, as `Plan` says it."""
    home = settings.home.absolute()
    return {
        **os.environ,
        "RIGHTMATCH_BUILD_DAY": day.isoformat(),
        "RIGHTMATCH_BUILD_SINCE": since.isoformat() if since else "",
        "RIGHTMATCH_BUILD_REJUDGE": "yes" if rejudge else "",
        "RIGHTMATCH_WAREHOUSE": str(settings.warehouse.absolute()),
        "RIGHTMATCH_CANDIDATE": _quoted(settings.candidate.absolute()),
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


def _told(plan: Plan) -> str:
    days = f"{plan.since.isoformat()} to {plan.until.isoformat()}" if plan.since else f"all days to {plan.until.isoformat()}"
    decisions = "every decision: landed files changed, or this is the first build that ends" if plan.rejudge else "the decisions whose labels can have changed"
    return f"Building the features of {days}, and judging {decisions}."


def _report(run: DbtRun, plan: Plan, stale_tables: tuple[str, ...]) -> BuildReport:
    return BuildReport(
        until=plan.until,
        invocation_id=run.invocation_id,
        models=sum(n.kind == "model" for n in run.nodes),
        tests=sum(n.kind == "test" for n in run.nodes),
        seconds=run.seconds,
        stale=stale_tables,
    )
