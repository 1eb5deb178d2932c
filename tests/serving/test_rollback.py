"""A roll-back by hand, seen by the members of the running service."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from math import isnan
from uuid import uuid4

import pytest

from tests.serving.conftest import serving, soonest, wait
from training.adapters.experiments import SqlExperiments
from training.adapters.registry import MlflowRegistry
from training.config.settings import ROOT, Settings
from training.domain.experiment import Cause, Change

pytestmark = pytest.mark.timeout(300)
WITHIN = 1.0
"""Seconds from the recorded change to the first decision by the other version."""


def test_a_roll_back_by_hand_reaches_members_within_a_second(home):
    """`rightmatch rollback` while decisions are asked for: version 1 decides a second after the ledger says so, and no request fails."""
    settings = Settings(home=home)
    registry = MlflowRegistry(settings)
    version = registry.register(registry.fetch("1"), {"run_id": "another"})
    with serving(home) as running, running.client() as client:

        def decided():
            answer = client.post("/v1/decisions", json={"request_id": str(uuid4()), "member_id": "m2", "surface": "web"})
            assert answer.status_code == 200, answer.text
            assert answer.json()["reason"] == "champion", answer.text
            return answer.json()["model_version"]

        def seconds():
            """Of the other version's last decisions after the ledger and the registry name version 1 again."""
            change = Change("1", version, Cause.HAND, "me", datetime.now(UTC), "tried")
            SqlExperiments(settings.ledger_url).changed(change, lambda: registry.point("champion", version))
            wait(lambda: decided() == version)
            command = [sys.executable, "-m", "training.cli.main", "rollback", "--yes", "--reason", "complaints"]
            typed = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "RIGHTMATCH_HOME": str(home)}, stdout=subprocess.PIPE, text=True)
            moved = None
            while (now := decided()) == version:
                assert not typed.poll(), "the roll-back failed"
                if moved is None and registry.peek("champion") == "1":
                    moved = time.monotonic()
            took = 0.0 if moved is None else time.monotonic() - moved
            assert now == "1"
            assert "Champion was version 2, is version 1" in typed.communicate(timeout=60)[0]
            return took

        wait(lambda: client.get("/readyz").status_code == 200)
        assert soonest(seconds, WITHIN) < WITHIN


def test_an_alias_that_is_gone_is_told_of(home):
    """Somebody removes it in the registry: the champion goes on deciding, and probe, metric and learner say that nobody learns until it is back."""
    with serving(home) as running, running.client() as client, closing(sqlite3.connect(home / "mlflow.db", timeout=30)) as registry:

        def lag():
            lines = client.get("/metrics").text.splitlines()
            return float(next(line.split()[1] for line in lines if line.startswith("rightmatch_posterior_lag_seconds ")))

        wait(lambda: client.get("/readyz").status_code == 200 and lag() < WITHIN)
        (row,) = registry.execute("select * from registered_model_aliases where alias = 'champion'").fetchall()
        with registry:
            registry.execute("delete from registered_model_aliases where alias = 'champion'")
        wait(lambda: "learner" in client.get("/readyz").json()["troubles"])
        wait(lambda: isnan(lag()))
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"], ready.json()["champion"]) == (200, "degraded", "1")
        assert client.post("/v1/decisions", json={"member_id": "m2", "surface": "web"}).json()["reason"] == "champion"
        assert [line["duty"] for line in running.said() if line.get("service") == "learner" and line["event"] == "trouble"] == ["roles"]
        with registry:
            registry.execute(f"insert into registered_model_aliases values ({', '.join('?' * len(row))})", row)
        wait(lambda: client.get("/readyz").json()["troubles"] == {} and lag() < WITHIN)
