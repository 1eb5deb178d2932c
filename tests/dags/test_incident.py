"""Live judging on one real Airflow: a day without anything to judge, a roll-back up to its acknowledgement, and a person before each stage. Slow."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from urllib.parse import quote

import pytest
from rich.console import Console

from tests.fakes.live import FIRST, World, midnight, shifted
from tests.fakes.platforms import ID, aliases, half_done, home, looked, promoted
from training.adapters.registry import MlflowRegistry
from training.cli.airflow_api import AirflowApi
from training.cli.airflow_env import USER, prepare_home
from training.cli.airflow_processes import AirflowProcesses
from training.cli.progress import Progress
from training.config.settings import Settings
from training.domain.experiment import Cause, Change, Experiment, State
from training.domain.nouns import VerdictKind

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]
DAGS = ("experiment", "guard", "incident")
DAY = date(2026, 5, 30)
RULES = [
    {"metric": "converted", "kind": "superior"},
    {"metric": "retained", "kind": "non_inferior", "margin": 0.06},
    {"metric": "opted_out", "kind": "non_inferior", "margin": 0.04, "lower_is_better": True},
]
"""Margins that 8,000 members can show."""
EXPERIMENT = {
    "approval": "true",
    "looked_within_hours": str(0.5 / 3600),
    "effect": "0.05",
    "early": json.dumps({"visited": 0.1, "dismissed": 0.1}),
    "segments": json.dumps([{"column": "country"}]),
}


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


@pytest.fixture(scope="module")
def airflow(tmp_path_factory):
    """Airflow on a home with versions 1 and 2; stages need approval, and a roll-back must be acknowledged within half a second, sooner than anybody can."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RIGHTMATCH_HOME", str(tmp_path_factory.mktemp("live")))
        patch.setenv("RIGHTMATCH_RULES", json.dumps(RULES))
        for name, value in EXPERIMENT.items():
            patch.setenv(f"RIGHTMATCH_EXPERIMENT__{name.upper()}", value)
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


def test_a_roll_back_is_acknowledged(airflow):
    """Nothing to judge is green and asks nobody. Harm: one roll-back, the asset with what happened, a person is asked, the deadline passes, they answer.

    The answer comes at once, before the scheduler has heard that the process which asked has ended, and is the only one that is needed.
    """
    up, platform, lives = airflow
    api = up.api
    assert os.environ["RIGHTMATCH_HOME"] == str(lives.home.parent)
    assert up.finished("experiment", DAY) == {"look": "success", "approve": "skipped", "ramp": "success", "run": "success"}
    nothing = {"watch": "success", "roll_back": "success", "alarm": "skipped", "run": "success"}
    assert up.finished("guard", DAY) == nothing
    assert platform.experiments.changes() == []

    promoted(platform, DAY - timedelta(days=30))
    looked(platform, DAY, VerdictKind.REJECT, "watch-2")
    killed = Change("2", "1", Cause.WATCH, "guard killed", midnight(DAY), f"REJECT of {DAY}.", ID)  # what the watch finds has tests of its own
    half_done(platform, killed, platform.experiments.all()[0].ended(State.ROLLED_BACK, killed.at, killed.reason))
    assert up.finished("guard", DAY) == {**nothing, "alarm": "success"}
    assert platform.experiments.all()[0].state is State.ROLLED_BACK
    assert platform.experiments.changes()[0] == killed

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
    assert up.finished("guard", DAY) == nothing
    assert len(platform.experiments.changes()) == 3


def answered(up, day, answer):
    """What a person is asked in the experiment's run for `day`; and the state of each task once they gave `answer`, as the UI does."""
    api = up.api
    run, said = api.trigger("experiment", {"day": day.isoformat()}), StringIO()
    progress = Progress(Console(file=said, width=300), api, lambda: None)
    waits = {task.task: task.state for task in progress.follow(run, [])}
    (question,) = progress.asked
    assert waits == {"look": "success", "approve": "awaiting_input", "ramp": "waiting"}
    assert question.url.endswith(f"/dags/experiment/runs/{quote(run.run_id, safe='')}/tasks/approve/required_actions")
    assert question.url in said.getvalue()
    asked = f"/api/v2/dags/experiment/dagRuns/{quote(run.run_id, safe='')}/taskInstances/approve/-1/hitlDetails"
    assert "non-inferior" in api._call("GET", asked)["body"]
    api._call("PATCH", asked, {"chosen_options": [answer], "params_input": {}})
    up.until(lambda: api.run(run).state in {"success", "failed"})
    return question.subject, {task.task: task.state for task in api.tasks(run)}


def test_a_person_opens_each_stage(airflow):
    """The look says PROMOTE on real marts and changes nothing; Reject leaves the stage where it is, Approve opens the next, and after the last one moves the
    alias.
    """
    up, platform, _ = airflow
    settings, at = Settings(), midnight(FIRST) - timedelta(hours=8)
    platform.registry.point("champion", "1")
    experiment = Experiment("approved", "2", "1", State.RUNNING, (0.4, 0.5), ((FIRST, 0.4),), 0.05, at, at, "opened")
    platform.experiments.open(experiment, "test", (FIRST - timedelta(days=1)).isoformat())
    world = World(chance=shifted("converted", 0.1)).write(settings.marts, settings.experiment.split(experiment))
    went, stays = ({"look": "success", "approve": "success", "ramp": state} for state in ("success", "skipped"))

    assert answered(up, world.day - timedelta(days=4), "Reject") == ("Open what follows stage 1 of experiment approved?", stays)
    assert platform.experiments.running() == experiment
    opened = world.day - timedelta(days=3)
    assert answered(up, opened, "Approve") == ("Open what follows stage 1 of experiment approved?", went)
    assert platform.experiments.running().stages == ((FIRST, 0.4), (opened + timedelta(days=2), 0.5))
    assert platform.registry.version("champion") == "1"
    assert answered(up, world.day, "Approve") == ("Open what follows stage 2 of experiment approved?", went)
    assert platform.experiments.running() is None
    assert aliases(platform.registry) == {"champion": "2", "previous": "1", "anchor": "1"}
    change = platform.experiments.changes()[0]
    assert (change.before, change.after, change.cause, change.experiment_id) == ("1", "2", Cause.EXPERIMENT, "approved")
    assert change.by.startswith("experiment manual__")
    assert change.by.endswith(f", approved by {USER}")
