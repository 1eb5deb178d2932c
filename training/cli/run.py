"""`rightmatch run` and `up`: source data, Airflow, the loop, what it found. Whatever ends the command, nothing of it stays behind."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic, sleep

from rich.console import Console

from training.cli.airflow_api import AirflowApi, Question, TaskState
from training.cli.airflow_env import USER, AirflowHome, prepare_home
from training.cli.airflow_logs import attempt_log, reason
from training.cli.airflow_processes import AirflowProcesses
from training.cli.progress import Progress
from training.cli.run_data import source_data, world_of
from training.cli.service_process import ServiceProcess
from training.cli.stopping import only_one, stoppable
from training.cli.summary import duration, places, prose, show
from training.config.settings import Settings, load_settings
from training.domain.errors import StepError

EVERY_MIDNIGHT = "0 0 * * *"
FOLLOWS = ("retrain", "experiment", "guard")
"""What the features of a day start."""
DAGS = ("features", *FOLLOWS, "incident")


@dataclass(frozen=True)
class Airflow:
    """One Airflow: where it lives, its processes, and the way to talk to it."""

    home: AirflowHome
    processes: AirflowProcesses
    api: AirflowApi


def run(source: str | None, data: Path | None, sizes: dict[str, int | None], *, keep: bool) -> int:
    """Run the loop once; with `keep` leave Airflow running on its schedule, and the decision service, until Ctrl-C. `sizes`: members, days, seed where given.

    Returns 0 where the loop completed, whatever the verdict; the Ctrl-C that ends `keep` is its normal end.
    Raises RightmatchError, with the failed task's own words where one failed, and KeyboardInterrupt if stopped before that.
    """
    settings = _settings(source, sizes)
    console = Console(soft_wrap=True)
    with only_one(settings.home), stoppable():
        started, today = monotonic(), datetime.now(UTC).date()
        world = world_of(settings, data)
        console.print(f"Rightmatch: source {world.source}, home {settings.home}", highlight=False)
        with source_data(settings, world, today) as made, _airflow(settings) as airflow:
            since = datetime.now(UTC)
            airflow.processes.start()
            day = made.last_day()
            _ready(airflow, since)
            asked = _loop(console, settings, airflow, day, started)
            if keep:
                _stay(console, settings, airflow)
    if asked and not keep:
        console.print(
            f"{'asked':>10}: no answer yet, so nothing was changed; the next look asks again. `make up` keeps the UI open to answer in", highlight=False
        )
    if not keep:
        console.print(f"{'UI':>10}: stopped with this run; `make up` runs the loop and keeps it open", highlight=False)
    return 0


def _ready(airflow: Airflow, since: datetime) -> None:
    """Wait until Airflow answers and has read the DAGs after `since`, which are paused until then."""
    airflow.api.wait_until_up(airflow.processes.check)
    airflow.api.pool("warehouse", 1, "DuckDB, Feast's registry and the model registry take one writer at a time")
    airflow.api.wait_until_parsed(DAGS, since, airflow.processes.check)
    for dag in DAGS:
        airflow.api.resume(dag)


def _loop(console: Console, settings: Settings, airflow: Airflow, day: date, started: float) -> list[Question]:
    """Run it for `day` and show what came of it; what a person is asked meanwhile waits in Airflow."""
    up = monotonic()
    console.print(f"Airflow is up after {up - started:.1f} s; running the loop for {day}", highlight=False)
    first = airflow.api.trigger("features", {"day": day.isoformat()})
    progress = Progress(console, airflow.api, airflow.processes.check, f"user {USER}  password {airflow.home.secrets.password}")
    tasks = progress.follow(first, FOLLOWS)
    _refuse_failure(airflow.home, tasks, {question.dag for question in progress.asked})
    show(console, settings, day)
    prose(console, duration(up - started, [task for task in tasks if task.dag in {"features", "retrain"}], monotonic() - started))
    for name, place in places(settings, day).items():
        console.print(f"{name:>10}: {place}", highlight=False)
    return progress.asked


def _settings(source: str | None, sizes: dict[str, int | None]) -> Settings:
    """Options win over the environment, and reach the tasks through it."""
    asked: dict[str, object] = {"SOURCE": source, **{name.upper(): value for name, value in sizes.items()}}
    os.environ.update({f"RIGHTMATCH_{name}": str(value) for name, value in asked.items() if value is not None})
    settings = load_settings()
    os.environ["RIGHTMATCH_HOME"] = str(settings.home.resolve())  # tasks have another working directory
    os.environ["RIGHTMATCH_CATALOG"] = str(settings.catalog.resolve())
    return load_settings()


@contextmanager
def _airflow(settings: Settings) -> Iterator[Airflow]:
    home = prepare_home(settings)
    processes = AirflowProcesses(home)
    try:
        yield Airflow(home, processes, AirflowApi(home.url, USER, home.secrets.password))
    finally:
        processes.stop()


def _refuse_failure(airflow: AirflowHome, tasks: list[TaskState], asking: Collection[str]) -> None:
    """Raises StepError where a task failed, or one did not end: those of the DAGs `asking` a person may."""
    for task in tasks:
        if task.state == "failed":
            log = attempt_log(airflow.logs, task)
            raise StepError(f"{task.dag}.{task.task} failed:\n{reason(log)}\nIts log: {log}")
    ended = [task for task in tasks if task.dag not in asking]
    if not ended or any(task.state not in {"success", "skipped"} for task in ended):
        raise StepError(f"The loop did not complete, although no task failed: {', '.join(f'{t.task} {t.state}' for t in tasks)}. See {airflow.logs}.")


def _stay(console: Console, settings: Settings, airflow: Airflow) -> None:
    """Switch the schedule on, start the decision service, and stay until Ctrl-C."""
    now = datetime.now(UTC)
    airflow.processes.schedule(EVERY_MIDNIGHT, now.date())
    airflow.api.wait_until_parsed(DAGS, now, airflow.processes.check)
    console.print(f"{'UI':>10}: [bold]{airflow.home.url}[/]  user {USER}  password {airflow.home.secrets.password}", highlight=False)
    service = ServiceProcess(settings)
    try:
        console.print(f"{'decisions':>10}: [bold]{service.start()}/docs[/]  `rightmatch keys create NAME --scope decide` makes a key", highlight=False)
        console.print("`features` runs daily, from the next midnight UTC on. Ctrl-C stops everything.")
        with suppress(KeyboardInterrupt):
            while True:
                airflow.processes.check()
                service.check()
                sleep(1.0)
    finally:
        service.stop()
    console.print("Stopping Airflow.")
