"""Live judging on real Airflow: a day without anything to judge, and a roll-back up to its acknowledgement. Slow: about a minute."""

from __future__ import annotations

import os
import sqlite3
import time
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import pytest

from tests.fakes.platforms import home, looked, promoted
from training.adapters.registry import MlflowRegistry
from training.cli.airflow_api import AirflowApi
from training.cli.airflow_env import USER, prepare_home
from training.cli.airflow_processes import AirflowProcesses
from training.config.settings import Settings
from training.domain.experiment import Cause, State
from training.domain.nouns import VerdictKind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
DAGS = ("experiment", "guard", "incident")
DAY = date(2026, 5, 30)


class Up:
    """A running Airflow: its API, and waiting that ends with Airflow's own words where a process of it has ended."""

    def __init__(self, api, check):
        self.api, self.check = api, check

    def until(self, true, seconds=400):
        """Ask again until it holds; returns what held."""
        give_up = time.monotonic() + seconds
        while not (found := true()):
            self.check()
            assert time.monotonic() < give_up
            time.sleep(0.1)
        return found

    def finished(self, dag, day):
        """State of each task of a run of `dag` for `day`, once it has ended."""
        run = self.api.trigger(dag, {"day": day.isoformat()})
        self.until(lambda: self.api.run(run).state in {"success", "failed"})
        return {task.task: task.state for task in self.api.tasks(run)} | {"run": self.api.run(run).state}


@pytest.fixture
def airflow(tmp_path, monkeypatch):
    """Airflow on a home with versions 1 and 2; stages need approval, and a roll-back must be acknowledged within half a second, sooner than anybody can."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    monkeypatch.setenv("RIGHTMATCH_EXPERIMENT__APPROVAL", "true")
    monkeypatch.setenv("RIGHTMATCH_EXPERIMENT__LOOKED_WITHIN_HOURS", str(0.5 / 3600))
    settings, since = Settings(), datetime.now(UTC)
    platform = home(settings, MlflowRegistry(settings), versions=2)
    lives = prepare_home(settings)
    processes, api = AirflowProcesses(lives), AirflowApi(lives.url, USER, lives.secrets.password)
    processes.start()
    try:
        api.wait_until_up(processes.check)
        api.pool("warehouse", 1, "one writer")
        api.wait_until_parsed(DAGS, since, processes.check)
        for dag in DAGS:
            api.resume(dag)
        yield Up(api, processes.check), platform, lives
    finally:
        processes.stop()


def test_a_roll_back_is_acknowledged(airflow, tmp_path):
    """Nothing to judge is green and asks nobody. Harm: one roll-back, the asset with what happened, a person is asked, the deadline passes, they answer.

    The answer comes at once, before the scheduler has heard that the process which asked has ended, and is the only one that is needed.
    """
    up, platform, lives = airflow
    api = up.api
    assert os.environ["RIGHTMATCH_HOME"] == str(tmp_path)
    assert up.finished("experiment", DAY) == {"look": "success", "approve": "skipped", "ramp": "success", "run": "success"}
    nothing = {"watch": "success", "roll_back": "success", "alarm": "skipped", "run": "success"}
    assert up.finished("guard", DAY) == nothing
    assert platform.experiments.changes() == []

    promoted(platform, DAY - timedelta(days=30))
    looked(platform, DAY, VerdictKind.REJECT, "watch-2")
    platform.registry.point("champion", "1")  # as a run that was killed before its commit left it: what the watch finds has tests of its own
    assert up.finished("guard", DAY) == {**nothing, "alarm": "success"}
    assert platform.experiments.all()[0].state is State.ROLLED_BACK
    change = platform.experiments.changes()[0]
    assert (change.before, change.after, change.cause) == ("2", "1", Cause.WATCH)
    assert change.by.startswith("guard manual__")

    run = up.until(lambda: api.runs("incident"))[0]
    up.until(lambda: [task.state for task in api.tasks(run)] == ["awaiting_input"])
    asked = f"/api/v2/dags/incident/dagRuns/{quote(run.run_id, safe='')}/taskInstances/acknowledge/-1/hitlDetails"
    assert f"{DAY}: version 2 was replaced by version 1. REJECT of {DAY}." in api._call("GET", asked)["body"]
    logs = lives.logs / "executor_callbacks" / "incident"
    up.until(lambda: any("Nobody has acknowledged a roll-back within" in path.read_text() for path in logs.rglob("*") if path.is_file()))
    with sqlite3.connect(f"file:{lives.home}/airflow.db?mode=ro", uri=True) as connection:
        assert connection.execute("SELECT missed FROM deadline").fetchall() == [(1,)]
    api._call("PATCH", asked, {"chosen_options": ["Acknowledged"], "params_input": {}})
    up.until(lambda: api.run(run).state == "success" or api.tasks(run)[0].attempt > 1)
    assert [(task.state, task.attempt) for task in api.tasks(run)] == [("success", 1)]
    assert up.finished("guard", DAY)["run"] == "success"
    assert len(platform.experiments.changes()) == 3
