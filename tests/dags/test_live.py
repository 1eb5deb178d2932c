"""When a person is asked before a stage, and what a roll-back's alarm carries."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import pytest

from training.config.settings import ROOT


@pytest.fixture
def live(monkeypatch):
    """The helper module, with the settings of an approval."""
    monkeypatch.syspath_prepend(str(ROOT / "dags"))
    monkeypatch.setenv("RIGHTMATCH_EXPERIMENT__APPROVAL", "true")
    return importlib.import_module("_live")


@pytest.fixture
def approve(live, monkeypatch):
    """Executes the approval after a look of the kind; returns what Airflow was asked to show."""
    from airflow.providers.standard.operators import hitl
    from airflow.sdk import DAG
    from airflow.sdk.exceptions import TaskAwaitingInput

    asked = {}
    monkeypatch.setattr(hitl, "upsert_hitl_detail", lambda **shown: asked.update(shown))  # it goes to Airflow's API server
    with DAG("d", schedule=None):
        operator = live.approval(hitl.HITLOperator(task_id="look", subject="", options=["-"]))

    def execute(kind):
        task = SimpleNamespace(id="1", xcom_pull=lambda _: {"kind": kind, "experiment": "e1", "stage": 2, "reason": "passed"})
        with pytest.raises(TaskAwaitingInput):
            operator.execute({"ti": task, "task_instance": task})
        return asked

    return execute


def test_a_person_is_asked_where_a_stage_would_open(approve):
    """Approve or Reject; without an answer in time, Reject."""
    asked = approve("PROMOTE")
    assert (asked["options"], asked["defaults"]) == (["Approve", "Reject"], ["Reject"])


@pytest.mark.parametrize("kind", ["HOLD", "REJECT", ""])
def test_nobody_is_asked_where_none_does(approve, live, kind):
    """An end must not wait for a person, and a day without an experiment is no question."""
    with pytest.raises(live.AirflowSkipException, match="nothing to approve"):
        approve(kind)
