"""The few calls of Airflow's API, against a server that does not always answer."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from training.cli import airflow_api
from training.cli.airflow_api import AirflowApi, Run
from training.domain.errors import StepError

RUN = Run("retrain", "r/1", "running")


@contextmanager
def server(script):
    """A server that follows `script`, one entry a request: None hangs up, a number is a status, anything else the JSON answer. Yields API and paths."""
    asked, left = [], list(script)

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            asked.append(f"{self.command} {self.path}")
            act = left.pop(0)
            if act is None:
                self.close_connection = True
                return
            body = json.dumps({"detail": "no"} if isinstance(act, int) else act).encode()
            self.send_response(act if isinstance(act, int) else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 - the names that the base class looks for

        def log_message(self, *_):
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        Thread(target=http.serve_forever, daemon=True).start()
        yield AirflowApi(f"http://127.0.0.1:{http.server_port}", "admin", "secret"), asked
        http.shutdown()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(airflow_api, "sleep", lambda _: None)


def test_a_question_without_an_answer_is_asked_again():
    """A hang-up and a server error now and then must not end a loop of an hour."""
    answer = {"dag_id": "retrain", "dag_run_id": "r/1", "state": "success"}
    with server([None, 500, answer]) as (api, asked):
        assert api.run(RUN).state == "success"
    assert asked == ["GET /api/v2/dags/retrain/dagRuns/r%2F1"] * 3


def test_a_silent_server_is_a_sentence():
    """After the last attempt: what was asked and which log says more, not a traceback."""
    with server([None] * airflow_api.ATTEMPTS) as (api, _), pytest.raises(StepError, match="did not answer GET /api/v2/dags/retrain/.*api-server"):
        api.run(RUN)


def test_a_refusal_and_a_request_to_act_are_not_repeated():
    """Asking again does not change a 404; a second POST could start a second run."""
    with server([404]) as (api, asked), pytest.raises(StepError, match="refused GET .*404"):
        api.run(RUN)
    assert len(asked) == 1
    with server([None]) as (api, asked), pytest.raises(StepError, match="did not answer POST"):
        api.trigger("features", {"day": "2026-01-05"})
    assert len(asked) == 1


def test_what_started_a_run():
    """DAG and run of each asset event."""
    with server([{"asset_events": [{"source_dag_id": "features", "source_run_id": "f1", "extra": {"day": "2026-01-05"}}]}]) as (api, asked):
        assert api.triggers(RUN) == {("features", "f1")}
    assert asked == ["GET /api/v2/dags/retrain/dagRuns/r%2F1/upstreamAssetEvents"]
