"""Airflow's cluster policy under `rightmatch up` (Airflow imports a module of this name from its path).

A cron schedule without a start makes a run for the latest period that is over at the moment it is switched on. `up` has just run the
loop for the day that was asked for, so its schedule begins with RIGHTMATCH_SCHEDULE_FROM, the current day, whose run starts at its end.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # every Airflow process imports this file before Airflow is ready
    from airflow.sdk import DAG

__all__ = ["dag_policy"]


def dag_policy(dag: DAG) -> None:
    """Called for each DAG that is parsed."""
    first_day = os.environ.get("RIGHTMATCH_SCHEDULE_FROM")
    if first_day:
        dag.start_date = datetime.fromisoformat(first_day).replace(tzinfo=UTC)
