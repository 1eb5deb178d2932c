"""How a step becomes an Airflow task. Declarations only: everything heavy is imported when the task runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, CronDataIntervalTimetable, CronTriggerTimetable, Param, get_current_context, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

FEATURES = Asset("features")
"""The online features of one day; its event carries `extra["day"]`, which a triggered run learns for."""

WAREHOUSE = "warehouse"
"""Pool of one slot: DuckDB, Feast's registry and the model registry take one writer at a time."""

DEFAULTS: dict[str, Any] = {"owner": "rightmatch", "retries": 2, "retry_delay": timedelta(seconds=5)}

DAY = {"day": Param(None, type=["null", "string"], format="date", description="The day to work on, YYYY-MM-DD; empty means the day that the run stands for")}

EVERY: dict[str, Any] = {"catchup": False, "max_active_runs": 1, "params": DAY, "default_args": DEFAULTS}
"""What all DAGs have in common."""


def daily() -> CronDataIntervalTimetable | None:
    """Midnight UTC for the day that ended; None where RIGHTMATCH_SCHEDULE is empty, so that runs start on request only."""
    cron = os.environ.get("RIGHTMATCH_SCHEDULE", "0 0 * * *")
    return CronDataIntervalTimetable(cron, timezone="UTC") if cron else None


def often() -> CronTriggerTimetable | None:
    """Every ten minutes; None where RIGHTMATCH_SCHEDULE is empty."""
    return CronTriggerTimetable("*/10 * * * *", timezone="UTC") if os.environ.get("RIGHTMATCH_SCHEDULE", "every day") else None


def step(verb: str, **options: Any) -> Any:  # noqa: ANN401 - both are Airflow's own
    """The task that runs `training.steps.VERB` for the run's day; `options` go to the operator (pool, outlets)."""

    @task(task_id=verb, **options)
    def run_step() -> dict[str, Any]:
        context = get_current_context()
        os.environ["APPROVED_BY"] = approver(context)
        return run(verb, day_of(context), context)

    return run_step()


def approver(context: Mapping[str, Any]) -> str:
    """The user who approved what this task does; empty where nobody had to."""
    if "approve" not in context["task"].upstream_task_ids:
        return ""
    answer = context["ti"].xcom_pull(task_ids="approve") or {}
    return str((answer.get("responded_by_user") or {}).get("name") or "")


def day_of(context: Mapping[str, Any]) -> str:
    """The run's day: its parameter, else the newest day among the asset events that triggered it, else its data interval."""
    if context["params"].get("day"):
        return str(context["params"]["day"])
    events = context.get("triggering_asset_events") or {}
    days = [event.extra["day"] for many in events.values() for event in many if "day" in event.extra]
    if days:
        return str(max(days))
    start = context.get("data_interval_start")
    if start is None:
        raise AirflowFailException('This run does not say which day it is for, so nothing was read or written. Trigger it with {"day": "YYYY-MM-DD"}.')
    return str(start.date().isoformat())


def run(verb: str, day: str, context: Mapping[str, Any]) -> dict[str, Any]:
    """The report of `training.steps.VERB` for `day`; its outlets get the day."""
    from training.domain.errors import ConfigError, DataError, NotReadyError
    from training.steps.task import execute

    try:
        report = execute(verb, day)
    except (ConfigError, DataError, NotReadyError) as error:  # a retry without a change from outside cannot help
        raise AirflowFailException(f"{type(error).__name__}: {error}") from None
    if verb == "land" and report["newest"] < day and context["dag_run"].run_type == "scheduled":
        raise AirflowSkipException(f"No file of {day} has landed yet, the newest is of {report['newest']}: this day is built by the first run after its files.")
    for outlet in context["task"].outlets:
        context["outlet_events"][outlet].extra = {"day": day}
    return report
