"""Two workers and the learner over one real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

import psutil
import pytest
from sqlalchemy import create_engine

from tests.fakes.logs import database, postgres
from tests.serving.conftest import member, serving, wait


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A Postgres server."""
    with postgres(tmp_path_factory.mktemp("pg")) as url:
        yield url


def test_two_workers_share_a_log_on_postgres(server, home):
    """One decision a request id, one message under a cap of one, and a click that is learned within seconds, whoever answers."""
    with serving(home, 2, SERVING__LOG_URL=database(server)) as service, service.client() as client, ThreadPoolExecutor(16) as threads:
        wait(lambda: service.ready().status_code == 200)

        def ask(who, **more):
            return client.post("/v1/decisions", json={"member_id": member(who), "surface": "outbound", **more}).json()

        same = list(threads.map(lambda _: ask(2, request_id="once"), range(32)))
        assert {a["decision_id"] for a in same} == {same[0]["decision_id"]}
        racing = list(threads.map(lambda _: ask(4), range(32)))
        assert sum(a["arm"] is not None for a in racing) <= 1
        shown = next(a for a in map(ask, range(6, 300, 2)) if a["arm"])
        click = {"outcome_id": "c", "decision_id": shown["decision_id"], "kind": "click", "occurred_at": datetime.now(UTC).isoformat()}
        receipts = list(threads.map(lambda _: client.post("/v1/outcomes", json=click).json(), range(8)))
        assert sum(r["accepted"] for r in receipts) == 1
        assert sum(r["repeated"] for r in receipts) == 7
        wait(lambda: service.ready().json()["posterior"] >= 1)
        assert client.get(f"/v1/decisions/{shown['decision_id']}").json()["outcomes"][0]["outcome_id"] == "c"


def test_a_learner_whose_connections_are_ended_begins_anew(server, home):
    """As in a failover: it says what it lost and ends, and the one that is started in its place learns."""
    url = database(server)
    with serving(home, SERVING__LOG_URL=url) as service:
        wait(lambda: service.ready().status_code == 200)
        wait(lambda: begun(service) == 1)
        engine = create_engine(url)
        with engine.connect() as connection:
            others = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
            connection.exec_driver_sql(others)
        engine.dispose()
        wait(lambda: begun(service) == 2)
        lost = [line["error"] for line in service.said() if line["event"] == "ended" and line["child"] == "learner"]
        assert lost
        assert lost[0].startswith("LogError: The lock that lets one learner learn is lost")
        wait(lambda: service.ready().status_code == 200)


def begun(service):
    """How often a learner has begun to learn."""
    return sum(line["event"] == "started" and line.get("service") == "learner" for line in service.said())


@contextmanager
def standing_still(url: str) -> Iterator[None]:
    """The server's processes do nothing until the block ends; the system still takes what is sent to them."""
    engine = create_engine(url)
    with engine.connect() as connection:
        folder = connection.exec_driver_sql("SHOW data_directory").scalar_one()
    engine.dispose()
    postmaster = psutil.Process(int(Path(folder, "postmaster.pid").read_text().split("\n", 1)[0]))
    stopped = [postmaster, *postmaster.children(recursive=True)]
    try:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        yield
    finally:
        for process in stopped:
            with suppress(psutil.NoSuchProcess):
                process.resume()


def test_a_postgres_that_stands_still_hangs_no_caller(server, home):
    """What is asked is refused within the budget, and `/readyz` says so; when the server goes on, so does the service, and what was refused counts once."""
    url = database(server)
    with serving(home, SERVING__LOG_URL=url, SERVING__LOG_BUDGET_MS="1000") as service, service.client() as client:
        wait(lambda: service.ready().status_code == 200)

        def ask():
            return client.post("/v1/decisions", json={"member_id": member(2), "surface": "outbound", "request_id": "once"})

        wait(lambda: ask().status_code == 200)
        kept = ask().json()
        questions = {
            "decision": lambda: client.post("/v1/decisions", json={"member_id": member(4), "surface": "outbound", "request_id": "held"}),
            "funnel": lambda: client.get(f"/v1/decisions/{kept['decision_id']}"),
        }
        with standing_still(url):
            for name, question in questions.items():
                for _ in range(3):
                    began = monotonic()
                    found = question()
                    assert (name, found.status_code, found.headers["retry-after"]) == (name, 503, "1")
                    assert monotonic() - began < 15
            assert service.ready().status_code == 503
        wait(lambda: questions["decision"]().status_code == 200)
        assert questions["decision"]().json() == questions["decision"]().json()
        assert ask().json() == kept
        wait(lambda: service.ready().status_code == 200)
