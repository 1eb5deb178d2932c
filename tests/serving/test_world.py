"""The closed loop as a user runs it: a simulated world, its features by the DAG's steps, the service over HTTP, and `rightmatch world play`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta

import pyarrow.parquet as pq
import pytest
from sqlalchemy import func, select

from serving import learner_status
from tests.serving.conftest import put_in_charge, serving, wait
from tests.sources.simulated.conftest import START, write
from training.adapters.decision_log import DecisionLog
from training.adapters.log_engine import reading
from training.adapters.log_tables import decision_table, outcome_table
from training.config.settings import ROOT, Settings
from training.domain.schema import DECISIONS

MEMBERS, HISTORY, PLAYED = 300, 12, 2
FEATURES = ("land", "transform", "validate", "materialize")


@pytest.fixture(name="home")
def _home(tmp_path, monkeypatch):
    """A world with a history, its features online, and a champion as of its last midnight."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("RIGHTMATCH_HOME", str(home))
    write(home, MEMBERS, HISTORY, 5)
    about = {"source": "simulated", "members": MEMBERS, "days": HISTORY, "seed": 5, "data": ""}
    (home / "world.json").write_text(json.dumps(about), encoding="utf-8")
    last = START + timedelta(days=HISTORY - 1)
    built(home, last)
    put_in_charge(Settings(home=home), datetime.combine(last + timedelta(days=1), time(), UTC))
    return home


def built(home, day):
    """The steps of the DAG `features` for a day, in a process of their own as Airflow runs them."""
    code = f"from training.steps.task import execute\nfor verb in {FEATURES!r}: execute(verb, {day.isoformat()!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]


def play(service, *words):
    """The command's JSON."""
    command = [sys.executable, "-m", "training.cli.main", "world", "play", "--days", str(PLAYED), "--url", service.url, "--json", *words]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RIGHTMATCH_KEY": service.token}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3_000:]
    return json.loads(done.stdout)["days"]


def count(home, table):
    """Rows of the log."""
    with reading(DecisionLog(Settings(home=home).log_url).engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar()


@pytest.mark.slow
def test_the_loop_goes_round(home):
    """Members ask and answer for two days, with features built in between; nobody is overrun or gets a fallback, what they answer is learned,
    and the next run of `features` lands the service's decisions as source data.
    """
    with serving(home, 1, SERVING__CLOCK="data") as service:
        wait(lambda: service.ready().status_code == 200)
        days = play(service)
        assert [date.fromisoformat(day["day"]) for day in days] == [START + timedelta(days=HISTORY + n) for n in range(PLAYED)]
        assert all(day["asked"] > 0 and not day["overrun"] and not day["fallbacks"] for day in days), days
        assert sum(day["asked"] for day in days) == count(home, decision_table)
        assert sum(day["clicks"] for day in days) > 0
        assert count(home, outcome_table) > sum(day["clicks"] for day in days)
        wait(lambda: (status := learner_status.read(home / "posterior")) and status.posterior > 0 and not status.lag_seconds)
    last = date.fromisoformat(days[-1]["day"])
    built(home, last)
    landed = [pq.read_table(file, partitioning=None).num_rows for file in (home / "raw" / DECISIONS.name).glob(f"day={last}/*.parquet")]
    assert sum(landed) == days[-1]["asked"]
