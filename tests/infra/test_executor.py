"""What the scheduler is told of a task whose process has ended while another one of the same try is with a worker."""

from __future__ import annotations

import importlib
from multiprocessing import SimpleQueue, Value
from types import SimpleNamespace

import pytest

from training.cli.airflow_env import POLICY


@pytest.fixture
def executor(monkeypatch):
    """The executor with its real queues and no worker: the test says what a worker would."""
    monkeypatch.syspath_prepend(str(POLICY))
    made = importlib.import_module("rightmatch_executor").HoldingExecutor(parallelism=2)
    made.activity_queue, made.result_queue, made.workers, made._unread_messages = SimpleQueue(), SimpleQueue(), {}, Value("I")
    monkeypatch.setattr(made, "_check_workers", lambda: None)
    return made


@pytest.mark.parametrize("ends", ["success", "failed"])
def test_a_task_is_known_until_the_last_of_its_processes_has_ended(executor, ends):
    """A question and its answer are two processes of one try: the end of the first is not the end of the second."""
    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.utils.state import TaskInstanceState

    key = TaskInstanceKey("incident", "acknowledge", "r1", 1, -1)
    task = SimpleNamespace(id="1", key=key)
    assert not executor.has_task(task)
    for _ in ("asks", "has the answer"):
        executor.queued_tasks[key] = SimpleNamespace(key=key, ti=SimpleNamespace(priority_weight=1))
        executor.trigger_tasks(2)
        assert not executor.queued_tasks
    assert executor.has_task(task)
    executor.result_queue.put((key, TaskInstanceState(ends), None))
    executor.sync()
    assert executor.event_buffer == {key: (ends, None)}
    assert executor.has_task(task)
    executor.result_queue.put((key, TaskInstanceState(ends), None))
    executor.sync()
    assert not executor.has_task(task)
    assert not executor._held
