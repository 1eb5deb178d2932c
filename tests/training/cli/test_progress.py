"""Following the two runs of one loop."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from training.cli import progress
from training.cli.airflow_api import Run, TaskState
from training.cli.progress import Progress
from training.domain.errors import StepError


class FakeApi:
    """Every run has succeeded; `causes` says which run's asset started which run of `retrain`, listed newest first from the second question on."""

    def __init__(self, causes, old=()):
        self.causes, self.listed = causes, [list(old), [*causes, *old]]

    def runs(self, dag):
        found = self.listed.pop(0) if len(self.listed) > 1 else self.listed[0]
        return [Run(dag, run_id, "success") for run_id in found]

    def triggers(self, run):
        return {("features", self.causes[run.run_id])}

    def run(self, run):
        return Run(run.dag, run.run_id, "success")

    def tasks(self, run):
        return [TaskState(run.dag, run.run_id, "only", "success", 1.0, 1)]


def follow(api):
    """The tasks that were followed, from the run `features` `mine`."""
    return Progress(Console(file=StringIO()), api, lambda: None).follow(Run("features", "mine", "queued"), ["retrain"])


def test_the_run_that_this_loop_started_is_followed():
    """Another retrain, older or newer, may have been started by a schedule or a person meanwhile: its verdict is not ours."""
    followed = follow(FakeApi({"newer": "another", "ours": "mine", "older": "scheduled"}, old=["yesterday"]))
    assert [task.run_id for task in followed] == ["mine", "ours"]


def test_a_loop_without_a_retrain_says_so(monkeypatch):
    """Only runs of others started: nothing was trained for this loop."""
    monkeypatch.setattr(progress, "TRIGGER_SECONDS", 0.1)
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.01)
    with pytest.raises(StepError, match="did not start retrain"):
        follow(FakeApi({"other": "scheduled"}))
