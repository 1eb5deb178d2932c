"""The DAG runs of one loop, followed task by task: a live table on a terminal, one line a change elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import monotonic, sleep

from rich.console import Console
from rich.live import Live
from rich.table import Table

from training.cli.airflow_api import AirflowApi, Question, Run, TaskState
from training.domain.errors import StepError

MARKS = {
    "success": "[green]✓[/]",
    "failed": "[red]✗[/]",
    "upstream_failed": "[red]·[/]",
    "running": "[yellow]▶[/]",
    "up_for_retry": "[yellow]↻[/]",
    "skipped": "[dim]-[/]",
    "awaiting_input": "[yellow]?[/]",
}
POLL_SECONDS = 0.5
TRIGGER_SECONDS = 180.0
ASKS = "awaiting_input"
"""A task that waits for a person."""
STATES = {"upstream_failed": "not started", "up_for_retry": "failed, will be tried again", ASKS: "waits for a person"}
"""Where Airflow's word would puzzle."""
WORDS = {"success": "done", "failed": "FAILED", "up_for_retry": "failed, will be tried again", "skipped": "skipped"}


class Progress:
    """Shows task states as they come; `follow` returns them when the loop has ended. It waits for no person: what is asked is said at once, and kept."""

    def __init__(self, console: Console, api: AirflowApi, check: Callable[[], None], login: str = "") -> None:
        self._console, self._api, self._check, self._login = console, api, check, login
        self.asked: list[Question] = []
        self._said: dict[tuple[str, str], tuple[str, int]] = {}
        self._live: Live | None = None

    def follow(self, first: Run, then: Sequence[str]) -> list[TaskState]:
        """Watch `first` to its end and, where it succeeded, the runs of the DAGs `then` that it triggers by its asset; each until it ends or asks a person."""
        before = {run.run_id for dag in then for run in self._api.runs(dag)}
        live = Live(console=self._console, refresh_per_second=4, transient=False) if self._console.is_terminal else None
        manager: AbstractContextManager[object] = live or nullcontext()
        with manager:
            self._live = live
            tasks = self._watch(first, [])
            if all(task.state == "success" for task in tasks):
                for run in [self._triggered(dag, before, first) for dag in then]:
                    tasks += self._watch(run, tasks)
            return self._answered(tasks)

    def _answered(self, tasks: list[TaskState]) -> list[TaskState]:
        """Follow to their end the runs that asked a person and were answered while others went on."""
        for question in list(self.asked):
            own = [task for task in tasks if task.dag == question.dag]
            run = next((run for run in self._api.runs(question.dag) if run.run_id == own[0].run_id), None) if own else None
            if run is None or any(task.state == ASKS for task in self._api.tasks(run)):
                continue
            others = [task for task in tasks if task.dag != question.dag]
            self.asked.remove(question)
            tasks = [*others, *self._watch(run, others)]
        return tasks

    def _triggered(self, dag: str, before: set[str], cause: Run) -> Run:
        """The run that the asset of `cause` started: a schedule or a person may have started others meanwhile."""
        give_up = monotonic() + TRIGGER_SECONDS
        while monotonic() < give_up:
            self._check()
            for run in self._api.runs(dag):
                if run.run_id not in before and (cause.dag, cause.run_id) in self._api.triggers(run):
                    return run
            sleep(POLL_SECONDS)
        waited = f"{dag} in {TRIGGER_SECONDS:.0f} s"
        raise StepError(f"The features are ready, but Airflow did not start {waited}: the loop is not complete. See its scheduler's log.")

    def _watch(self, run: Run, earlier: list[TaskState]) -> list[TaskState]:
        while True:
            self._check()
            state = self._api.run(run).state
            tasks = self._api.tasks(run)
            self._show(earlier, tasks)
            questions = [self._api.question(task) for task in tasks if task.state == ASKS]
            for question in questions:
                self._ask(question)
            if questions or state in {"success", "failed"}:
                return tasks
            sleep(POLL_SECONDS)

    def _ask(self, question: Question) -> None:
        self.asked.append(question)
        name = f"  {question.dag:>10} {question.task:<12}"
        self._console.print(f"{name} waits for a person, and this command goes on: {question.subject}", highlight=False, markup=False)
        self._console.print(f"{'':>{len(name)}} answer: {question.url}  {self._login}".rstrip(), highlight=False, markup=False)

    def _show(self, earlier: list[TaskState], tasks: list[TaskState]) -> None:
        if self._live is not None:
            self._live.update(table([*earlier, *tasks]))
            return
        for task in tasks:
            key, now = (task.dag, task.task), (task.state, task.attempt)
            if self._said.get(key) != now and task.state in {"running", *WORDS}:
                self._console.print(line(task), highlight=False)
            self._said[key] = now


def line(task: TaskState) -> str:
    """One change of one task, for a log."""
    attempt = f" (attempt {task.attempt})" if task.attempt > 1 else ""
    if task.state == "running":
        return f"  {task.dag:>10} {task.task:<12} started{attempt}"
    return f"  {task.dag:>10} {task.task:<12} {WORDS[task.state]} after {task.seconds or 0.0:.1f} s{attempt}"


def table(tasks: list[TaskState]) -> Table:
    """All tasks with state and seconds."""
    grid = Table(box=None, pad_edge=False, show_header=False)
    for task in tasks:
        mark = MARKS.get(task.state, "[dim]·[/]")
        seconds = f"{task.seconds:6.1f} s" if task.seconds else ""
        grid.add_row(mark, f"[dim]{task.dag}[/]", task.task, seconds, f"[dim]{STATES.get(task.state, task.state)}[/]")
    return grid
