"""Airflow's home, its processes, its logs: what holds without a loop running."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta

import pytest

from training.cli.airflow_api import TaskState
from training.cli.airflow_env import airflow_environment, prepare_home, scheduled
from training.cli.airflow_logs import attempt_log, reason
from training.cli.airflow_processes import settle
from training.cli.progress import line
from training.config.settings import ROOT, Settings


@pytest.fixture
def airflow(tmp_path):
    """A prepared home."""
    return prepare_home(Settings(home=tmp_path))


def test_the_environment_is_ours_alone(airflow):
    """Nothing of the caller's Airflow leaks in, bytecode is on, and all addresses are loopback."""
    env = airflow_environment(
        airflow, {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW_HOME": "elsewhere", "PYTHONDONTWRITEBYTECODE": "1", "KEPT": "yes"}
    )
    assert env["AIRFLOW__CORE__EXECUTOR"] == "rightmatch_executor.HoldingExecutor"
    assert env["AIRFLOW_HOME"] == str(airflow.home)
    assert "PYTHONDONTWRITEBYTECODE" not in env
    assert env["KEPT"] == "yes"
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].startswith("http://127.0.0.1:")


NEXT_RUN = """
import sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
dag = DagSerialization.from_dict(DagSerialization.to_dict(DagBag(sys.argv[1]).dags["features"]))
info = dag.next_dagrun_info(last_automated_run_info=None)
print("NEXT", info and f"{info.data_interval.start.isoformat()} {info.run_after.isoformat()}")
"""


@pytest.mark.parametrize("first_day", [None, date(2031, 5, 6)])
def test_a_schedule_begins_with_its_first_day_and_repeats_nothing_before(airflow, first_day):
    """Without a schedule nothing runs by itself; with one the first run is that of `first_day`, at its end, and not at once that of yesterday."""
    env = airflow_environment(airflow, os.environ)
    if first_day:
        env = scheduled(env, "0 0 * * *", first_day)
    env["PYTHONPATH"] += f"{os.pathsep}{ROOT / 'dags'}"  # the dag-processor adds its folder by itself
    done = subprocess.run([sys.executable, "-c", NEXT_RUN, str(ROOT / "dags")], env=env, cwd=airflow.home, capture_output=True, text=True, check=True)
    start = datetime(2031, 5, 6, tzinfo=UTC)
    expected = f"{start.isoformat()} {(start + timedelta(days=1)).isoformat()}" if first_day else "None"
    assert f"NEXT {expected}" in done.stdout


def test_secrets_are_made_once_and_private(airflow, tmp_path):
    """A second run keeps password and keys (sessions and JWTs stay valid); other users cannot read them."""
    again = prepare_home(Settings(home=tmp_path))
    assert again.secrets == airflow.secrets
    assert (airflow.home / "secrets.json").stat().st_mode & 0o077 == 0
    assert json.loads((airflow.home / "passwords.json").read_text()) == {"admin": airflow.secrets.password}


def test_the_scheduler_finds_nothing_to_do_at_the_start(tmp_path):
    """Otherwise it would first finish yesterday's run, or what an earlier `up` scheduled, beside today's."""
    database = tmp_path / "airflow.db"
    with sqlite3.connect(database) as connection:
        connection.executescript(
            "CREATE TABLE task_instance (state TEXT); CREATE TABLE dag_run (state TEXT); CREATE TABLE asset_dag_run_queue (id INT);"
            "CREATE TABLE dag (is_paused INT, next_dagrun_create_after TEXT); INSERT INTO dag VALUES (0, '2026-01-06');"
            "INSERT INTO task_instance VALUES ('running'), ('success'), (NULL); INSERT INTO dag_run VALUES ('queued'), ('success');"
            "INSERT INTO asset_dag_run_queue VALUES (1);"
        )
    connection.close()
    settle(database)
    with sqlite3.connect(database) as connection:
        assert connection.execute("SELECT state FROM task_instance").fetchall() == [("failed",), ("success",), (None,)]
        assert connection.execute("SELECT state FROM dag_run").fetchall() == [("failed",), ("success",)]
        assert connection.execute("SELECT count(*) FROM asset_dag_run_queue").fetchall() == [(0,)]
        assert connection.execute("SELECT * FROM dag").fetchall() == [(1, None)]
    connection.close()


def test_a_failed_task_speaks_for_itself(tmp_path):
    """Our own refusal is its message; a foreign error keeps its kind and our line that led to it; a log without one gives its last lines."""
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
    ours, library = str(ROOT / "training" / "steps" / "train.py"), str(ROOT / ".venv" / "lib" / "torch" / "inner.py")
    frames = [{"filename": file, "lineno": 5, "name": "run"} for file in (ours, library)]
    log.write_text(json.dumps({"event": "Task failed", "error_detail": [{"exc_type": "KeyError", "exc_value": "'x'", "frames": frames}]}))
    assert reason(log) == f"KeyError: 'x'\n  raised in {ours}:5 (run)"


def test_a_change_is_one_line():
    """What CI sees instead of the live table."""
    assert line(TaskState("features", "r", "land", "success", 1.26, 1)).split() == ["features", "land", "done", "after", "1.3", "s"]
    assert line(TaskState("retrain", "r", "train", "failed", 2.0, 3)).split() == ["retrain", "train", "FAILED", "after", "2.0", "s", "(attempt", "3)"]
