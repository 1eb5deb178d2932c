"""The whole loop as its user starts it, on real Airflow, dbt, Great Expectations, Feast and torch. Slow: one to two minutes a run."""

from __future__ import annotations

import os
import subprocess
import sys

import pandas as pd
import psutil
import pytest

from training.adapters.ledger import SqlLedger
from training.config.settings import ROOT, Settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def rightmatch(home, *arguments, **environment):
    """Run the command in a home of its own; returns the finished process."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "RIGHTMATCH"))}
    env |= {"RIGHTMATCH_HOME": str(home), **environment}
    command = [sys.executable, "-m", "training.cli.main", *arguments]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True, check=False, timeout=800)


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


def test_raw_events_become_a_verdict(tmp_path):
    """Both DAGs succeed, the verdict is in the ledger with its evidence, what a user should see is shown, and nothing keeps running."""
    done = rightmatch(tmp_path, "run", "--members", "1500", "--days", "42", "--seed", "3")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    for task in ("land", "transform", "validate", "materialize", "training_set", "train", "evaluate", "judge", "promote"):
        assert f"{task:<12} done" in done.stdout
    verdicts = SqlLedger(Settings(home=tmp_path).ledger_url).verdicts()
    assert len(verdicts) == 1
    assert verdicts[0].evidence
    assert f"Verdict: {verdicts[0].kind.value}" in done.stdout
    for words in ("Champion:", "as the online store knows them", "A decision for member", "report:", "The loop took"):
        assert words in done.stdout
    assert list((tmp_path / "reports").glob("*.html"))
    assert left_behind(tmp_path) == []


def test_a_corrupt_day_stops_before_anything_is_landed(tmp_path):
    """The failed task's own sentence names what is missing; exit code 1; no traceback; nothing landed; nothing keeps running."""
    folder = tmp_path / "inbox" / "decisions" / "day=2026-01-05"
    folder.mkdir(parents=True)
    pd.DataFrame({"decision_id": ["d1"], "member_id": ["m1"]}).to_parquet(folder / "part.parquet")
    done = rightmatch(tmp_path, "run", RIGHTMATCH_SOURCE="mine", RIGHTMATCH_CATALOG=str(ROOT / "dbt" / "seeds" / "simulated"))
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-3000:]
    assert "features.land failed" in done.stderr
    assert "LandingError" in done.stderr
    assert "propensity" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "raw").rglob("*.parquet"))
    assert left_behind(tmp_path) == []
