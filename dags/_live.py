"""What the DAGs of live judging share: a person's approval, the alarm after a roll-back. Declarations only, as in `_tasks`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from _tasks import day_of, run
from airflow.sdk import Asset, get_current_context, task
from airflow.sdk.exceptions import AirflowSkipException

ROLLED_BACK = Asset("rolled_back")
"""Harm was found and the anchor is in charge again; its event carries the day, both versions and why."""


def living() -> Any:  # noqa: ANN401 - `ExperimentSettings`
    """The settings of live judging: an import of 0.04 s, and one place that says which file or variable wins."""
    from training.config.settings import load_settings

    return load_settings().experiment


def approval(look: Any) -> Any:  # noqa: ANN401 - both are Airflow's own
    """Where a person must approve each stage: the question after a look that says PROMOTE. Anything else gives `look` back.

    Nobody's answer within the day is no: the next look asks again, and would else wait for this run.
    """
    if not living().approval:
        return look
    from airflow.providers.standard.operators.hitl import ApprovalOperator

    class StageApproval(ApprovalOperator):
        """Skipped unless the look says PROMOTE."""

        def execute(self, context: Any) -> Any:  # noqa: ANN401 - Airflow's own
            if context["ti"].xcom_pull("look")["kind"] != "PROMOTE":
                raise AirflowSkipException("The look opens no stage, so there is nothing to approve.")
            return super().execute(context)

    subject = "Open what follows stage {{ ti.xcom_pull('look')['stage'] }} of experiment {{ ti.xcom_pull('look')['experiment'] }}?"
    waits = timedelta(hours=20)
    asked = StageApproval(task_id="approve", subject=subject, body="{{ ti.xcom_pull('look')['reason'] }}", defaults="Reject", response_timeout=waits)
    look >> asked
    return asked


def alarm(rolled_back: Any) -> Any:  # noqa: ANN401 - both are Airflow's own
    """The task after `roll_back` that emits ROLLED_BACK for all that nobody was told of, and is skipped where there is none."""

    @task(task_id="alarm", outlets=[ROLLED_BACK])
    def raise_alarm(report: dict[str, Any]) -> None:
        if not report["untold"]:
            raise AirflowSkipException(f"Nothing to tell of: {report['why']}")
        context = get_current_context()
        told = run("alarm", day_of(context), context)
        if not told["told"]:
            raise AirflowSkipException("Another run has told of it meanwhile.")
        context["outlet_events"][ROLLED_BACK].extra = {"day": day_of(context), **{name: told[name] for name in ("before", "after", "why")}}

    return raise_alarm(rolled_back)
