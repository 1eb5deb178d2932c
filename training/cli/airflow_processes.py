"""Airflow's three processes as children of one command: started together, and gone together, whatever ends the command."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from typing import IO

import psutil  # type: ignore[import-untyped]

from training.cli.airflow_env import AirflowHome, airflow_environment
from training.domain.errors import ConfigError, StepError

COMPONENTS = {"api-server": ["api-server"], "dag-processor": ["dag-processor"], "scheduler": ["scheduler", "--skip-serve-logs"]}
GRACE_SECONDS = 8.0


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold `home/run.lock`. Raises ConfigError where another command holds it."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "run.lock").open("a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"Another `rightmatch run` or `up` works on {home}: two of them would overwrite each other. "
                "Wait for it, stop it, or set RIGHTMATCH_HOME to another folder."
            ) from None
        yield


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does, so that what it started is stopped."""

    def interrupt(number: int, frame: object) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class AirflowProcesses:
    """`start` migrates where needed and starts the components; `stop` ends them and everything below them."""

    def __init__(self, airflow: AirflowHome) -> None:
        self._airflow = airflow
        self._env = airflow_environment(airflow, os.environ)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._pids = airflow.home / "pids.json"

    def start(self) -> None:
        """Raises StepError with Airflow's own last lines if the database cannot be migrated."""
        stop_strays(self._pids)
        self._migrate()
        forget_unfinished(self._airflow.home / "airflow.db")
        for name, arguments in COMPONENTS.items():
            self._children[name] = self._spawn(name, arguments)
            self._remember()

    def check(self) -> None:
        """Raises StepError if a component has ended by itself."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise StepError(f"Airflow's {name} ended by itself (code {child.returncode}), so no task can run. Its last lines:\n{self._tail(name)}")

    def stop(self) -> None:
        """End all children: SIGTERM, then SIGKILL for whatever is left. Safe to repeat."""
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
        self._children["migrate"] = child = self._spawn("migrate", ["db", "migrate"])
        self._remember()
        if child.wait() != 0:
            raise StepError(f"Airflow could not prepare its database, so nothing can be scheduled. Its last lines:\n{self._tail('migrate')}")
        del self._children["migrate"]
        stamp.write_text(want, encoding="utf-8")

    def _spawn(self, name: str, arguments: list[str]) -> subprocess.Popen[bytes]:
        log: IO[bytes]
        with (self._airflow.logs / f"{name}.log").open("wb") as log:
            command = [sys.executable, "-m", "airflow", *arguments]
            return subprocess.Popen(command, cwd=self._airflow.home, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _remember(self) -> None:
        alive = {child.pid: psutil.Process(child.pid).create_time() for child in self._children.values() if child.poll() is None}
        self._pids.write_text(json.dumps(alive), encoding="utf-8")

    def _tail(self, name: str) -> str:
        lines = (self._airflow.logs / f"{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(lines[-12:])


def stop_strays(pids: Path) -> None:
    """End what a command that was killed left running: same pid *and* same birth, so that no stranger is touched."""
    if not pids.is_file():
        return
    strays = []
    for pid, born in json.loads(pids.read_text(encoding="utf-8")).items():
        with suppress(psutil.NoSuchProcess):
            if abs(psutil.Process(int(pid)).create_time() - born) < 1.0:
                strays.append(int(pid))
    end(strays)
    pids.unlink()


def end(leaders: list[int]) -> None:
    """SIGTERM to each leader; after the grace SIGKILL to it, its session and all descendants."""
    family = {process for pid in leaders for process in _family(pid)}
    for pid in leaders:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).terminate()
    _, left = psutil.wait_procs([p for p in family if p.pid in leaders], timeout=GRACE_SECONDS)
    family |= {process for pid in leaders for process in _family(pid)}
    for process in family | set(left):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(list(family), timeout=GRACE_SECONDS)


def _family(leader: int) -> list[psutil.Process]:
    """The leader, its descendants, and whatever lives in its session after its parent died."""
    found = []
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(leader)
        found = [process, *process.children(recursive=True)]
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return found


def forget_unfinished(database: Path) -> None:
    """Mark runs and tasks that a killed session left unfinished as failed, and drop asset events that still wait for a run.

    Otherwise the scheduler would first finish yesterday's work beside today's. Steps are idempotent, so nothing is lost.
    """
    with sqlite3.connect(database, timeout=30) as connection:
        unfinished = "'queued', 'running', 'scheduled', 'restarting', 'up_for_retry', 'deferred'"
        connection.execute(f"UPDATE task_instance SET state = 'failed' WHERE state IN ({unfinished})")  # noqa: S608 - our own words
        connection.execute("UPDATE dag_run SET state = 'failed' WHERE state IN ('queued', 'running')")
        connection.execute("DELETE FROM asset_dag_run_queue")
    connection.close()
