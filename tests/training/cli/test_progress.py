"""Following the two runs of one loop."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from training.cli import progress
from training.cli.airflow_api import Question, Run, TaskState
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


class Asking(FakeApi):
    """`experiment` waits for a person, and never ends by itself."""

    def __init__(self):
        super().__init__({"ours": "mine"})
        self.listed = [[], [], ["ours"]]

    def run(self, run):
        return Run(run.dag, run.run_id, "running" if run.dag == "experiment" else "success")

    def tasks(self, run):
        states = {"look": "success", "approve": "awaiting_input", "ramp": "waiting"} if run.dag == "experiment" else {"only": "success"}
        return [TaskState(run.dag, run.run_id, task, state, 1.0, 1) for task, state in states.items()]

    def question(self, task):
        return Question(task.dag, task.task, "Open what follows stage 1 [of e1]?", "http://ui/required_actions")


class Answered(Asking):
    """Whoever reads what is asked answers at once, so `ramp` ends while `guard` is followed."""

    asked = False

    def run(self, run):
        return Run(run.dag, run.run_id, "success")

    def tasks(self, run):
        found = super().tasks(run)
        if run.dag != "experiment" or not self.asked:
            self.asked = self.asked or run.dag == "experiment"
            return found
        return [TaskState(task.dag, task.run_id, task.task, "success", 1.0, 1) for task in found]


@pytest.mark.timeout(60)
def test_a_run_that_was_answered_meanwhile_is_followed_to_its_end():
    """So the command neither ends in the middle of what the answer started, nor says that nobody answered."""
    followed = Progress(Console(file=StringIO()), Answered(), lambda: None)
    tasks = followed.follow(Run("features", "mine", "queued"), ["experiment", "guard"])
    assert {(task.dag, task.task, task.state) for task in tasks} >= {("experiment", "ramp", "success"), ("guard", "only", "success")}
    assert followed.asked == []


@pytest.mark.timeout(60)
def test_a_run_that_asks_a_person_is_said_at_once_and_not_waited_for():
    """What is asked, where and as whom to answer; the DAGs after it are followed all the same."""
    said = StringIO()
    followed = Progress(Console(file=said, width=200), Asking(), lambda: None, "user admin  password p")
    tasks = followed.follow(Run("features", "mine", "queued"), ["experiment", "guard"])
    assert [(task.dag, task.task) for task in tasks][-2:] == [("experiment", "ramp"), ("guard", "only")]
    assert [question.subject for question in followed.asked] == ["Open what follows stage 1 [of e1]?"]
    words = " ".join(said.getvalue().split())
    assert "experiment approve waits for a person, and this command goes on: Open what follows stage 1 [of e1]?" in words
    assert "answer: http://ui/required_actions user admin password p" in words
    assert "ramp" not in words
