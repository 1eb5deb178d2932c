"""Airflow's three processes as children of one command: started together, and gone together, whatever ends the command."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import IO

from training.cli.airflow_env import AirflowHome, airflow_environment, scheduled
from training.cli.processes import end, remember, stop_strays
from training.cli.stopping import undisturbed
from training.domain.errors import StepError

COMPONENTS = {"api-server": ["api-server"], "dag-processor": ["dag-processor"], "scheduler": ["scheduler", "--skip-serve-logs"]}


class AirflowProcesses:
    """`start` migrates where needed and starts the components; `stop` ends them and everything below them."""

    def __init__(self, airflow: AirflowHome) -> None:
        self._airflow = airflow
        self._env = airflow_environment(airflow, os.environ)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._pids = airflow.home / "pids.json"

    def start(self) -> None:
        """Start without a schedule and with all DAGs paused. Raises StepError with Airflow's own last lines if the database cannot be migrated."""
        stop_strays(self._pids)
        self._migrate()
        settle(self._airflow.home / "airflow.db")
        for name, arguments in COMPONENTS.items():
            self._spawn(name, arguments, self._env)

    def schedule(self, cron: str, first_day: date) -> None:
        """From now on run `features` by `cron`, for `first_day` and later. Only the dag-processor reads it and is replaced; running tasks go on."""
        child = self._children["dag-processor"]
        end([child.pid])
        child.wait()
        self._spawn("dag-processor", COMPONENTS["dag-processor"], scheduled(self._env, cron, first_day))

    def check(self) -> None:
        """Raises StepError if a component has ended by itself."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise StepError(f"Airflow's {name} ended by itself (code {child.returncode}), so no task can run. Its last lines:\n{self._tail(name)}")

    def stop(self) -> None:
        """End all children: SIGTERM, then SIGKILL for whatever is left. Safe to repeat; no signal interrupts it."""
        with undisturbed():
            end([child.pid for child in self._children.values()])
            for child in self._children.values():
                child.wait()
            self._children.clear()
            self._pids.unlink(missing_ok=True)

    def _migrate(self) -> None:
        stamp = self._airflow.home / "migrated"
        want = version("apache-airflow")
        if (self._airflow.home / "airflow.db").is_file() and stamp.is_file() and stamp.read_text(encoding="utf-8") == want:
            return
        child = self._spawn("migrate", ["db", "migrate"], self._env)
        if child.wait() != 0:
            raise StepError(f"Airflow could not prepare its database, so nothing can be scheduled. Its last lines:\n{self._tail('migrate')}")
        del self._children["migrate"]
        stamp.write_text(want, encoding="utf-8")

    def _spawn(self, name: str, arguments: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
        log: IO[bytes]
        with (self._airflow.logs / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", "airflow", *arguments]
            child = subprocess.Popen(command, cwd=self._airflow.home, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._children[name] = child
        remember(self._pids, [each.pid for each in self._children.values() if each.poll() is None])
        return child

    def _tail(self, name: str) -> str:
        lines = (self._airflow.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-12:])


def settle(database: Path) -> None:
    """Before the scheduler looks: fail what a killed session left unfinished, drop asset events that wait for a run, pause all DAGs.

    Otherwise it would first do yesterday's work, or what an earlier `up` scheduled, beside what is asked for now. Steps are idempotent: nothing is lost.
    """
    with sqlite3.connect(database, timeout=30) as connection:
        unfinished = "'queued', 'running', 'scheduled', 'restarting', 'up_for_retry', 'deferred', 'awaiting_input'"
        connection.execute(f"UPDATE task_instance SET state = 'failed' WHERE state IN ({unfinished})")  # noqa: S608 - our own words
        connection.execute("UPDATE dag_run SET state = 'failed' WHERE state IN ('queued', 'running')")
        connection.execute("DELETE FROM asset_dag_run_queue")
        connection.execute("UPDATE dag SET is_paused = 1, next_dagrun_create_after = NULL")
    connection.close()
