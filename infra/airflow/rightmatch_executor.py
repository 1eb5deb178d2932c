"""Airflow's LocalExecutor, which also knows what its workers hold (Airflow imports this module from its path).

A task that waits for a person's answer ends its process, and the answer starts a second one under the same key and try. Where somebody answers before the
scheduler has heard of the first one's end, that end would be taken for the second one's ("finished with state success, but the task instance's state
attribute is running"): the task would be tried again, which asks again and forgets the answer. The scheduler lets a task be where `has_task` says that the
executor has it; that of Airflow 3.3.2 knows only what no worker has taken yet, since LocalExecutor adds nothing to `running`.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from airflow.executors.local_executor import LocalExecutor
from airflow.utils.state import TaskInstanceState

if TYPE_CHECKING:
    from airflow.models.taskinstance import TaskInstance

__all__ = ["HoldingExecutor"]

ENDED = frozenset({TaskInstanceState.SUCCESS, TaskInstanceState.FAILED})


class HoldingExecutor(LocalExecutor):  # type: ignore[misc]
    """`has_task` is true as long as a process of the task is with a worker, even if another process of the same try has just ended."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Airflow's own
        super().__init__(*args, **kwargs)
        self._held: Counter[Any] = Counter()

    def has_task(self, task_instance: TaskInstance) -> bool:
        """Queued, or with a worker."""
        return bool(super().has_task(task_instance) or self._held[task_instance.key])

    def change_state(self, key: Any, state: Any, info: Any = None, remove_running: bool = True) -> None:  # noqa: ANN401 - Airflow's own
        """Called for whatever a worker reports."""
        if state in ENDED and self._held[key]:
            self._held -= Counter([key])  # keeps what is above zero
        super().change_state(key, state, info, remove_running)

    def _process_workloads(self, workload_list: list[Any]) -> None:
        self._held.update(workload.key for workload in workload_list)
        super()._process_workloads(workload_list)
