"""The few calls of Airflow's REST API (v2) that a run needs. Standard library only, so that the command starts fast."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPException
from time import monotonic, sleep
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from training.domain.errors import StepError

ATTEMPTS = 5
"""Of a question that the server did not answer: on a busy machine it may be late once, seldom five times."""
SERVER_ERROR = 500


@dataclass(frozen=True)
class Run:
    """One DAG run; `state` is Airflow's word."""

    dag: str
    run_id: str
    state: str


@dataclass(frozen=True)
class TaskState:
    """One task of one run. `seconds` is None until it started; `attempt` counts from 1."""

    dag: str
    run_id: str
    task: str
    state: str
    seconds: float | None
    attempt: int


@dataclass(frozen=True)
class Question:
    """What a task asks a person, and where it is answered."""

    dag: str
    task: str
    subject: str
    url: str


class AirflowApi:
    """Logged in as `user` once `wait_until_up` returned."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url, self._user, self._password = url, user, password
        self._token = ""
        self._open = build_opener(ProxyHandler({})).open

    def wait_until_up(self, check: Callable[[], None], seconds: float = 300.0) -> None:
        """Log in as soon as the server answers; `check` raises where waiting is in vain."""
        give_up = monotonic() + seconds
        while True:
            check()
            try:
                self._token = self._call("POST", "/auth/token", {"username": self._user, "password": self._password})["access_token"]
            except StepError as error:
                if monotonic() > give_up:
                    raise StepError(f"Airflow's API did not answer within {seconds:.0f} s ({error}), so nothing could start. See its log folder.") from error
                sleep(0.3)
            else:
                return

    def wait_until_parsed(self, dags: tuple[str, ...], since: datetime, check: Callable[[], None], seconds: float = 300.0) -> None:
        """Wait until each DAG was parsed after `since`. Raises StepError with Airflow's message if a file cannot be imported."""
        give_up = monotonic() + seconds
        while not all(self._parsed(dag, since) for dag in dags):
            check()
            broken = self._call("GET", "/api/v2/importErrors")["import_errors"]
            if broken:
                raise StepError(f"Airflow cannot import {broken[0]['filename']}, so its DAG does not exist:\n{broken[0]['stack_trace']}")
            if monotonic() > give_up:
                raise StepError(f"Airflow did not read the DAGs {', '.join(dags)} within {seconds:.0f} s. See the log of its dag-processor.")
            sleep(0.3)

    def pool(self, name: str, slots: int, description: str) -> None:
        """Create the pool, or set its size."""
        if any(p["name"] == name for p in self._call("GET", "/api/v2/pools")["pools"]):
            self._call("PATCH", f"/api/v2/pools/{quote(name)}", {"pool": name, "slots": slots, "description": description, "include_deferred": False})
        else:
            self._call("POST", "/api/v2/pools", {"name": name, "slots": slots, "description": description, "include_deferred": False})

    def resume(self, dag: str) -> None:
        """Unpause the DAG."""
        self._call("PATCH", f"/api/v2/dags/{dag}", {"is_paused": False})

    def trigger(self, dag: str, conf: Mapping[str, str]) -> Run:
        """Start a run on request."""
        return _run(self._call("POST", f"/api/v2/dags/{dag}/dagRuns", {"logical_date": None, "conf": dict(conf)}))

    def run(self, run: Run) -> Run:
        """The same run as it is now."""
        return _run(self._call("GET", f"/api/v2/dags/{run.dag}/dagRuns/{quote(run.run_id, safe='')}"))

    def runs(self, dag: str) -> list[Run]:
        """The newest runs of `dag`, newest first."""
        return [_run(found) for found in self._call("GET", f"/api/v2/dags/{dag}/dagRuns?order_by=-run_after&limit=20")["dag_runs"]]

    def triggers(self, run: Run) -> set[tuple[str, str]]:
        """DAG and run id of each run whose asset event started `run`; empty where no asset did."""
        found = self._call("GET", f"/api/v2/dags/{run.dag}/dagRuns/{quote(run.run_id, safe='')}/upstreamAssetEvents")["asset_events"]
        return {(str(event["source_dag_id"]), str(event["source_run_id"])) for event in found}

    def tasks(self, run: Run) -> list[TaskState]:
        """The tasks of `run` in order of start."""
        found = self._call("GET", f"/api/v2/dags/{run.dag}/dagRuns/{quote(run.run_id, safe='')}/taskInstances")["task_instances"]
        found.sort(key=lambda t: t["start_date"] or "9")
        return [TaskState(run.dag, run.run_id, t["task_id"], t["state"] or "waiting", t["duration"], max(1, t["try_number"])) for t in found]

    def question(self, task: TaskState) -> Question:
        """What a task that waits for a person asks (*Required Actions* in the UI)."""
        run = quote(task.run_id, safe="")
        found = self._call("GET", f"/api/v2/dags/{task.dag}/dagRuns/{run}/taskInstances/{task.task}/-1/hitlDetails")
        return Question(task.dag, task.task, str(found["subject"]), f"{self._url}/dags/{task.dag}/runs/{run}/tasks/{task.task}/required_actions")

    def _parsed(self, dag: str, since: datetime) -> bool:
        try:
            found = self._call("GET", f"/api/v2/dags/{dag}")
        except StepError:
            return False
        return bool(found["last_parsed_time"]) and datetime.fromisoformat(found["last_parsed_time"]) >= since

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401 - JSON
        """The answer. A GET without one is asked again a few times, since reading twice does no harm; then, as at any refusal, StepError."""
        left = ATTEMPTS if method == "GET" else 1
        while True:
            left -= 1
            try:
                return self._once(method, path, body)
            except HTTPError as error:
                if error.code < SERVER_ERROR or not left:
                    detail = error.read().decode(errors="replace")[:500]
                    raise StepError(f"Airflow refused {method} {path} ({error.code}): {detail}") from error
            except (OSError, HTTPException) as error:
                if not left:
                    raise StepError(f"Airflow's API did not answer {method} {path}: {error or type(error).__name__}. See the log of its api-server.") from error
            sleep(0.5)

    def _once(self, method: str, path: str, body: Mapping[str, object] | None) -> Any:  # noqa: ANN401 - JSON
        data = None if body is None else json.dumps(body).encode()
        request = Request(self._url + path, data, {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"}, method=method)  # noqa: S310 - our own loopback URL
        with self._open(request, timeout=30) as answer:
            return json.loads(answer.read() or b"{}")


def _run(found: Mapping[str, Any]) -> Run:
    return Run(found["dag_id"], found["dag_run_id"], str(found["state"]))
