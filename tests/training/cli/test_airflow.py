"""Airflow's home, its processes, its logs: what holds without a loop running."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys

import psutil
import pytest

from training.cli.airflow_api import TaskState
from training.cli.airflow_env import airflow_environment, prepare_home
from training.cli.airflow_logs import attempt_log, reason
from training.cli.airflow_processes import end, forget_unfinished, only_one, stop_strays
from training.cli.progress import line
from training.config.settings import Settings
from training.domain.errors import ConfigError

TREE = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']); print('up', flush=True); time.sleep(300)"


@pytest.fixture
def airflow(tmp_path):
    """A prepared home."""
    return prepare_home(Settings(home=tmp_path), "")


def test_the_environment_is_ours_alone(airflow):
    """Nothing of the caller's Airflow leaks in, bytecode is on, and all addresses are loopback."""
    env = airflow_environment(
        airflow, {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW_HOME": "elsewhere", "PYTHONDONTWRITEBYTECODE": "1", "KEPT": "yes"}
    )
    assert env["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert env["AIRFLOW_HOME"] == str(airflow.home)
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert env["KEPT"] == "yes"
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].startswith("http://127.0.0.1:")


def test_secrets_are_made_once_and_private(airflow, tmp_path):
    """A second run keeps password and keys (sessions and JWTs stay valid); other users cannot read them."""
    again = prepare_home(Settings(home=tmp_path), "")
    assert again.secrets == airflow.secrets
    assert (airflow.home / "secrets.json").stat().st_mode & 0o077 == 0
    assert json.loads((airflow.home / "passwords.json").read_text()) == {"admin": airflow.secrets.password}


def test_two_commands_on_one_home_are_refused(tmp_path):
    """The second says why and what to do; after the first one it may."""
    with only_one(tmp_path), pytest.raises(ConfigError, match="RIGHTMATCH_HOME"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


def test_end_takes_the_whole_family():
    """A task's own children (dbt) do not outlive the command."""
    leader = subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE, start_new_session=True)
    leader.stdout.readline()
    family = [psutil.Process(leader.pid), *psutil.Process(leader.pid).children(recursive=True)]
    assert len(family) == 2
    end([leader.pid])
    leader.wait(timeout=10)
    leader.stdout.close()
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_strays_of_a_killed_command_are_ended_but_no_stranger(tmp_path):
    """A pid that was given to another process since then is left alone."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
    pids = tmp_path / "pids.json"
    pids.write_text(json.dumps({str(child.pid): psutil.Process(child.pid).create_time(), str(os.getpid()): 1.0}))
    stop_strays(pids)
    child.wait(timeout=10)
    assert not psutil.pid_exists(child.pid)
    assert not pids.exists()


def test_unfinished_work_of_a_killed_session_is_failed(tmp_path):
    """Otherwise the scheduler would first finish yesterday's run beside today's."""
    database = tmp_path / "airflow.db"
    with sqlite3.connect(database) as connection:
        connection.executescript(
            "CREATE TABLE task_instance (state TEXT); CREATE TABLE dag_run (state TEXT); CREATE TABLE asset_dag_run_queue (id INT);"
            "INSERT INTO task_instance VALUES ('running'), ('success'), (NULL); INSERT INTO dag_run VALUES ('queued'), ('success');"
            "INSERT INTO asset_dag_run_queue VALUES (1);"
        )
    connection.close()
    forget_unfinished(database)
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT state FROM task_instance").fetchall() == [("failed",), ("success",), (None,)]
        assert connection.execute("SELECT state FROM dag_run").fetchall() == [("failed",), ("success",)]
        assert connection.execute("SELECT count(*) FROM asset_dag_run_queue").fetchall() == [(0,)]
    connection.close()


def test_a_failed_task_speaks_for_itself(tmp_path):
    """Our own refusal is its message; a foreign error keeps its kind and the line that raised it; a log without one gives its last lines."""
    task = TaskState("features", "r1", "land", "failed", 1.0, 2)
    log = attempt_log(tmp_path, task)
    assert log == tmp_path / "dag_id=features" / "run_id=r1" / "task_id=land" / "attempt=2.log"
    assert "no log" in reason(log)
    log.parent.mkdir(parents=True)
    frames = [{"filename": "outer.py", "lineno": 1, "name": "a"}, {"filename": "inner.py", "lineno": 7, "name": "b"}]
    log.write_text(json.dumps({"event": "one"}) + "\nplain\n")
    assert reason(log) == "one\nplain"
    log.write_text(
        json.dumps({"event": "Task failed", "error_detail": [{"exc_type": "AirflowFailException", "exc_value": "LandingError: row 7", "frames": frames}]})
    )
    assert reason(log) == "LandingError: row 7"
    log.write_text(json.dumps({"event": "Task failed", "error_detail": [{"exc_type": "KeyError", "exc_value": "'x'", "frames": frames}]}))
    assert reason(log) == "KeyError: 'x'\n  raised in inner.py:7 (b)"


def test_a_change_is_one_line():
    """What CI sees instead of the live table."""
    assert line(TaskState("features", "r", "land", "success", 1.26, 1)).split() == ["features", "land", "done", "after", "1.3", "s"]
    assert line(TaskState("retrain", "r", "train", "failed", 2.0, 3)).split() == ["retrain", "train", "FAILED", "after", "2.0", "s", "(attempt", "3)"]
