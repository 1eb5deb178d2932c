"""Funnels of decisions whose model decides no more, asked for by many at once, and of a model that is gone, of a real service."""

from __future__ import annotations

import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from serving.rebuilding import KEPT, WAITING
from tests.serving.conftest import member, serving, soonest, wait

CROWD = 100


def ask(client, who):
    """A decision."""
    return client.post("/v1/decisions", json={"member_id": member(who), "surface": "app"}).json()


def clicked(service, client, who):
    """The next of `who` who is shown something; the click is learned, so that the posterior of this decision decides no more."""
    answer = next(answer for each in who if (answer := ask(client, each))["arm"])
    before = service.ready().json()["posterior"]
    told = {"outcome_id": answer["decision_id"], "decision_id": answer["decision_id"], "kind": "click", "occurred_at": datetime.now(UTC).isoformat()}
    assert client.post("/v1/outcomes", json=told).status_code == 200
    wait(lambda: service.ready().json()["posterior"] > before)
    return answer["decision_id"]


def crowded(service, names):
    """Answers to `CROWD` who ask for funnels at once, and the longest that a decision took meanwhile."""
    ended, took = threading.Event(), []

    def decide():
        with service.client() as client:
            while not ended.is_set():
                began = time.monotonic()
                assert client.post("/v1/decisions", json={"member_id": member(2 + 2 * (len(took) % 190)), "surface": "web"}).status_code == 200
                took.append(time.monotonic() - began)

    decider = threading.Thread(target=decide)
    decider.start()
    with service.client() as client, ThreadPoolExecutor(CROWD) as threads:
        found = list(threads.map(lambda i: client.get(f"/v1/decisions/{names[i % len(names)]}"), range(CROWD)))
    ended.set()
    decider.join()
    return found, max(took)


@pytest.fixture
def running(home):
    """A ready service, and decisions under `KEPT` + 2 posteriors that are over, the first of them twice."""
    with serving(home) as service, service.client() as client:
        wait(lambda: service.ready().status_code == 200)
        twin, who = ask(client, 2)["decision_id"], iter(range(4, 398, 2))
        yield service, [twin, *(clicked(service, client, who) for _ in range(KEPT + 2))]


def test_a_crowd_that_reads_funnels_delays_no_decision(running):
    """All but some tens are refused, and told why; who comes when they have gone is answered."""
    service, names = running
    refused = []

    def longest():
        found, took = crowded(service, names)
        assert {answer.status_code for answer in found} <= {200, 503}
        refused.extend(answer for answer in found if answer.status_code == 503)
        assert sum(answer.status_code == 200 for answer in found) >= WAITING
        return took

    assert soonest(longest, 1.0) < 1.0
    assert {(answer.json()["title"], answer.headers["retry-after"]) for answer in refused} <= {("Too many funnels", "1")}
    with service.client() as client:
        funnels = [client.get(f"/v1/decisions/{name}").json() for name in names]
    assert all(arm["mean"] is not None for funnel in funnels for arm in funnel["considered"])
    assert len({funnel["posterior"] for funnel in funnels}) == KEPT + 2


def test_a_model_that_is_gone_is_said_to_be(running):
    """What was rebuilt a moment ago, or decides, is known all the same; of what is no longer kept the arms stay, with the reason why nothing more is known."""
    service, (twin, first, *others) = running

    def funnel(name):
        answer = client.get(f"/v1/decisions/{name}")
        assert answer.status_code == 200, answer.text
        found = answer.json()
        return found["explained"], {arm["mean"] is not None for arm in found["considered"]}, bool(found["data_window"])

    with service.client() as client:
        now = ask(client, 398)["decision_id"]
        assert funnel(first) == ("", {True}, True)
        shutil.rmtree(service.home / "models" / "1")
        assert [funnel(twin), funnel(first), funnel(now)] == [("", {True}, True)] * 3
        for name in others[:KEPT]:
            assert "no model version '1'" in funnel(name)[0]
            assert funnel(name)[1:] == ({False}, False)
