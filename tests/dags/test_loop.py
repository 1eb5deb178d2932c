"""The whole loop as its user starts it, on real Airflow, dbt, Great Expectations, Feast and torch. Slow: one to two minutes a loop."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from urllib.request import ProxyHandler, build_opener

import pandas as pd
import psutil
import pytest

from training.adapters.ledger import SqlLedger
from training.cli.processes import stop_strays
from training.config.settings import ROOT, Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2_400)]


QUICK = {"RIGHTMATCH_TRAINING__TEXT_ENCODER": "hashed", "RIGHTMATCH_TRAINING__EPOCHS": "2", "RIGHTMATCH_TRAINING__WIDTH": "16"}
"""The loop is what is tested here, and not how well a model learns."""


def start(home, *arguments, **environment):
    """Start the command in a home of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "RIGHTMATCH"))}
    env |= {"RIGHTMATCH_HOME": str(home), "PYTHONUNBUFFERED": "1", **QUICK, **environment}
    command = [sys.executable, "-m", "training.cli.main", *arguments]
    return subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def rightmatch(home, *arguments, **environment):
    """Run the command to its end; returns exit code, output and errors."""
    process = start(home, *arguments, **environment)
    out, err = process.communicate(timeout=2_000)
    return process.returncode, out, err


def until(process, pattern):
    """Read the output up to the line that matches; returns everything read and the match. The command must not have ended."""
    said = ""
    for line in process.stdout:
        said += line
        found = re.search(pattern, line)
        if found:
            return said, found
    raise AssertionError(f"ended with {process.wait()} before {pattern!r}:\n{said[-3000:]}\n{process.stderr.read()[-3000:]}")


def airflow_rows(home, query):
    """Rows of Airflow's own database."""
    connection = sqlite3.connect(f"file:{home}/airflow/airflow.db?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def left_behind(home):
    """Processes that still carry this home in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("RIGHTMATCH_HOME") == str(home.resolve()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


def test_raw_events_become_a_verdict_each_day(tmp_path):
    """`up` on a fresh home, in a folder whose name has a space, then `run` on the same one.

    `up`: each DAG succeeds once, those of live judging with nothing to judge, the verdict is in the ledger and what a user should see is shown; then the UI
    answers, the schedule begins with the current day and has started nothing, and Ctrl-C ends all of it with code 0. `run`: one day more, a second verdict,
    and the schedule of before has started nothing either.
    """
    home = tmp_path / "my home"
    world = ("--members", "1000", "--days", "36", "--seed", "3")
    process = start(home, "up", *world)
    said, ui = until(process, r"UI: (http://127\.0\.0\.1:\d+)  user admin  password \S+")
    until(process, "Ctrl-C stops everything")
    for task in ("land", "transform", "validate", "materialize", "training_set", "train", "evaluate", "judge", "promote", "look", "ramp", "watch", "roll_back"):
        assert f"{task:<12} done" in said
    (verdict,) = SqlLedger(Settings(home=home).ledger_url).verdicts()
    assert verdict.evidence
    assert f"Verdict: {verdict.kind.value}" in said
    for words in ("Champion:", "as the online store knows them", "A decision for member", "report:", "The loop took"):
        assert words in said
    assert list((home / "reports").glob("*.html"))
    time.sleep(5)  # ten looks of the scheduler
    with build_opener(ProxyHandler({})).open(ui[1], timeout=60) as page:
        assert page.status == 200
    assert process.poll() is None
    assert airflow_rows(home, "SELECT dag_id, run_type, state FROM dag_run ORDER BY dag_id") == [
        ("experiment", "asset_triggered", "success"),
        ("features", "manual", "success"),
        ("guard", "asset_triggered", "success"),
        ("retrain", "asset_triggered", "success"),
    ]
    assert "alarm        skipped" in said
    ((summary, starts),) = airflow_rows(home, "SELECT timetable_summary, next_dagrun_create_after FROM dag WHERE dag_id = 'features' AND NOT is_paused")
    assert summary == "0 0 * * *"
    assert datetime.fromisoformat(starts).replace(tzinfo=UTC) > datetime.now(UTC)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) == 0
    assert left_behind(home) == []

    code, out, err = rightmatch(home, "run", *world)
    assert code == 0, out[-3000:] + err[-3000:]
    verdicts = SqlLedger(Settings(home=home).ledger_url).verdicts()
    assert len({v.run_id for v in verdicts}) == 2
    assert f"running the loop for {max(v.run_id for v in verdicts)}" in out
    assert "UI: stopped with this run; `make up`" in out
    assert {kind for (kind,) in airflow_rows(home, "SELECT run_type FROM dag_run")} == {"manual", "asset_triggered"}
    assert left_behind(home) == []


def test_two_interruptions_in_a_row_leave_nothing_behind(tmp_path):
    """The second Ctrl-C comes while the first one ends Airflow; afterwards nothing runs, and the command says so."""
    folder = tmp_path / "inbox" / "decisions" / "day=2026-01-05"
    folder.mkdir(parents=True)
    process = start(tmp_path, "run", RIGHTMATCH_SOURCE="mine", RIGHTMATCH_CATALOG=str(ROOT / "dbt" / "seeds" / "simulated"))
    pids = tmp_path / "airflow" / "pids.json"
    try:
        give_up = time.monotonic() + 300
        while not (pids.is_file() and len(json.loads(pids.read_text())) == 3 and len(left_behind(tmp_path)) > 3):  # all components
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < give_up
            time.sleep(0.1)
        for number in (signal.SIGINT, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            process.send_signal(number)
            time.sleep(0.2)
        out, err = process.communicate(timeout=120)
        assert (process.returncode, err) == (130, "rightmatch: stopped; everything that it started has ended\n"), out
        assert left_behind(tmp_path) == []
        assert not pids.exists()
    finally:
        process.kill()
        stop_strays(pids)


def test_a_corrupt_day_stops_before_anything_is_landed(tmp_path):
    """The failed task's own sentence names what is missing; exit code 1; no traceback; nothing landed; nothing keeps running."""
    folder = tmp_path / "inbox" / "decisions" / "day=2026-01-05"
    folder.mkdir(parents=True)
    pd.DataFrame({"decision_id": ["d1"], "member_id": ["m1"]}).to_parquet(folder / "part.parquet")
    code, out, err = rightmatch(tmp_path, "run", RIGHTMATCH_SOURCE="mine", RIGHTMATCH_CATALOG=str(ROOT / "dbt" / "seeds" / "simulated"))
    assert code == 1, out[-3000:] + err[-3000:]
    assert "features.land failed" in err
    assert "LandingError" in err
    assert "propensity" in err
    assert "Traceback" not in err
    assert not list((tmp_path / "raw").rglob("*.parquet"))
    assert left_behind(tmp_path) == []
