"""Two workers and the learner over one real Postgres."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

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
