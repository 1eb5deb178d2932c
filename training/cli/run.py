"""`rightmatch run` and `up`: source data, Airflow, the loop, what it found. Whatever ends the command, nothing of it stays behind."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, sleep, time

from rich.console import Console

from training.cli.airflow_api import AirflowApi, TaskState
from training.cli.airflow_env import USER, AirflowHome, prepare_home
from training.cli.airflow_logs import attempt_log, reason
from training.cli.airflow_processes import AirflowProcesses, only_one, stoppable
from training.cli.progress import Progress
from training.cli.run_data import Source, source_data, world_of
from training.cli.summary import places, show, task_seconds
from training.config.settings import Settings, load_settings
from training.domain.errors import StepError

EVERY_MIDNIGHT = "0 0 * * *"
DAGS = ("features", "retrain")


def run(source: str | None, data: Path | None, sizes: dict[str, int | None], *, keep: bool) -> int:
    """Run the loop once; with `keep` leave Airflow running on its schedule until Ctrl-C. `sizes` are members, days, seed where given.

    Returns 0 where the loop completed, whatever the verdict. Raises RightmatchError, with the failed task's own words where one failed.
    """
    settings = _settings(source, sizes)
    console = Console(soft_wrap=True)
    with only_one(settings.home), stoppable():
        started = monotonic()
        world = world_of(settings, data)
        console.print(f"Rightmatch: source {world.source}, home {settings.home}", highlight=False)
        airflow = prepare_home(settings, EVERY_MIDNIGHT if keep else "")
        with source_data(settings, world) as made, _airflow(airflow) as processes:
            _loop(console, settings, airflow, processes, made, started)
            if keep:
                _stay(console, airflow, processes)
    return 0


def _loop(console: Console, settings: Settings, airflow: AirflowHome, processes: AirflowProcesses, made: Source, started: float) -> None:
    since = datetime.fromtimestamp(time(), UTC)
    processes.start()
    day = made.last_day()
    api = AirflowApi(airflow.url, USER, airflow.secrets.password)
    api.wait_until_up(processes.check)
    api.pool("warehouse", 1, "DuckDB, Feast's registry and the model registry take one writer at a time")
    api.wait_until_parsed(DAGS, since, processes.check)
    for dag in DAGS:
        api.resume(dag)
    up = monotonic()
    console.print(f"Airflow is up after {up - started:.1f} s; running the loop for {day}", highlight=False)
    tasks = Progress(console, api, processes.check).follow(api.trigger("features", {"day": day.isoformat()}), "retrain")
    _refuse_failure(airflow, tasks)
    looped = monotonic()
    stages = {"data and Airflow": up - started, **task_seconds(tasks), "between tasks": looped - up - sum(task_seconds(tasks).values())}
    show(console, settings, day, stages)
    for name, place in places(settings, day).items():
        console.print(f"{name:>10}: {place}", highlight=False)
    console.print(f"The loop took {monotonic() - started:.1f} s.", highlight=False)


def _settings(source: str | None, sizes: dict[str, int | None]) -> Settings:
    """Options win over the environment, and reach the tasks through it."""
    asked: dict[str, object] = {"SOURCE": source, **{name.upper(): value for name, value in sizes.items()}}
    os.environ.update({f"RIGHTMATCH_{name}": str(value) for name, value in asked.items() if value is not None})
    settings = load_settings()
    os.environ["RIGHTMATCH_HOME"] = str(settings.home.resolve())  # tasks have another working directory
    os.environ["RIGHTMATCH_CATALOG"] = str(settings.catalog.resolve())
    return load_settings()


@contextmanager
def _airflow(airflow: AirflowHome) -> Iterator[AirflowProcesses]:
    processes = AirflowProcesses(airflow)
    try:
        yield processes
    finally:
        processes.stop()


def _refuse_failure(airflow: AirflowHome, tasks: list[TaskState]) -> None:
    for task in tasks:
        if task.state == "failed":
            log = attempt_log(airflow.logs, task)
            raise StepError(f"{task.dag}.{task.task} failed:\n{reason(log)}\nIts log: {log}")
    if not tasks or any(task.state != "success" for task in tasks):
        raise StepError(f"The loop did not complete, although no task failed: {', '.join(f'{t.task} {t.state}' for t in tasks)}. See {airflow.logs}.")


def _stay(console: Console, airflow: AirflowHome, processes: AirflowProcesses) -> None:
    console.print(f"\nAirflow runs at [bold]{airflow.url}[/]  user {USER}  password {airflow.secrets.password}", highlight=False)
    console.print("`features` runs daily at midnight UTC. Ctrl-C stops everything.")
    with suppress(KeyboardInterrupt):
        while True:
            processes.check()
            sleep(1.0)
    console.print("Stopping Airflow.")
