"""Azure Personalizer's calls, as its clients make them, to a real service."""

from __future__ import annotations

import shutil
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest

from serving.personalizer import VERSIONS
from tests.fakes.logs import served
from tests.serving.conftest import PATIENCE, member, serving, wait
from training.adapters.decision_log import DecisionLog
from training.adapters.log_outcomes import CLOSED
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.nouns import Surface

ARMS = load_catalog(Settings().catalog).feasible(Surface.WEB, [])[1:4]


def client(service, version="v1.1"):
    """A client of a version."""
    return httpx.Client(base_url=f"{service.url}/personalizer/{version}", headers={"Ocp-Apim-Subscription-Key": service.token}, timeout=PATIENCE)


def ranked(who, event, **more):
    """A rank request."""
    return {"eventId": event, "contextFeatures": [{"member_id": member(who)}], "actions": [{"id": a} for a in ARMS], **more}


def shown(azure, first):
    """The event of a rank of all arms that shows something, of members from `first` on: almost each does."""
    arms = [{"id": a} for a in load_catalog(Settings().catalog).feasible(Surface.WEB, ["email", "push", "sms"])[1:]]
    answers = (azure.post("/rank", json=ranked(who, None, actions=arms)).json() for who in range(first, 400, 2))
    return next(answer["eventId"] for answer in answers if answer["rewardActionId"] != "none")


def test_the_personalizer_interface(service):
    """Rank, activate, reward, twice each: same answer, counted once."""
    event = f"e-{uuid4()}"
    rank = ranked(150, event, contextFeatures=[{"who": {"member_id": member(150)}}, {"place": {"surface": "web"}}])
    with client(service) as azure:
        first, second = azure.post("/rank", json=rank), azure.post("/rank", json=rank)
        assert (first.status_code, first.json()) == (201, second.json())
        answer = first.json()
        assert answer["ranking"][0]["id"] == answer["rewardActionId"]
        assert {r["id"] for r in answer["ranking"]} - {"none"} == set(ARMS)
        assert sum(r["probability"] for r in answer["ranking"]) <= 1.0 + 1e-9
        assert [azure.post(f"/events/{event}/activate").status_code for _ in range(2)] == [204, 204]
        assert [azure.post(f"/events/{event}/reward", json={"value": 1.0}).status_code for _ in range(2)] == [204, 204]
        assert [azure.post("/events/unknown/reward", json={"value": value}).status_code for value in (1.0, 0.0, -1.0)] == [404] * 3
        assert azure.post("/rank", json=rank | {"actions": [{"id": "nothing"}], "eventId": "e"}).status_code == 422


def test_what_is_excluded_comes_last_and_the_others_by_probability(service):
    """After the choice, which it cannot be; Azure's clients take the first one."""
    out, *rest = ARMS
    with client(service) as azure:
        found = [azure.post("/rank", json=ranked(who, None, excludedActions=[out])).json()["ranking"] for who in range(200, 220, 2)]
    for first, *others in found:
        assert first["id"] in {"none", *rest}
        assert [r["probability"] for r in others] == sorted((r["probability"] for r in others), reverse=True)
        assert ({r["id"]: r["probability"] for r in others}[out], first["probability"] > 0) == (0.0, True)
        assert sorted(r["id"] for r in (first, *others)) == sorted({first["id"], *ARMS})
    assert any(others[0]["probability"] > 0 for _, *others in found)


def test_an_activation_is_an_impression_and_a_reward_a_click(service):
    """Of a choice that shows something, at the instant of the call; `none` was not seen and earns nothing."""
    with client(service) as azure:
        events = [shown(azure, 220), azure.post("/rank", json=ranked(0, None)).json()["eventId"]]
        for event in events:
            assert azure.post(f"/events/{event}/activate").status_code == 204
            assert azure.post(f"/events/{event}/reward", json={"value": 0.5}).status_code == 204
    log, now = DecisionLog(Settings(home=service.home).log_url), datetime.now(UTC)
    earlier = log.read([], events, now).earlier
    told, nothing = (log.outcomes_of(earlier[event].asked.decision_id) for event in events)
    log.engine.dispose()
    assert ([one.kind.value for one in told], nothing) == (["impression", "click"], [])
    assert earlier[events[0]].asked.at < told[0].occurred_at < told[1].occurred_at < now


def test_two_rewards_at_once_are_one(service):
    """All callers are content: each found none, and waited for who writes to the log, so that all but one came too late."""
    log = sqlite3.connect(Settings(home=service.home).log_url.removeprefix("sqlite:///"), isolation_level=None)
    with closing(log), client(service) as azure, ThreadPoolExecutor(8) as threads:
        event = shown(azure, 300)
        log.execute("begin immediate")
        done = [threads.submit(azure.post, f"/events/{event}/reward", json={"value": 1.0}) for _ in range(8)]
        time.sleep(0.3)
        assert not any(each.done() for each in done)
        log.execute("rollback")
        assert [each.result(PATIENCE).status_code for each in done] == [204] * 8


def test_a_reward_of_nothing_is_no_news(service):
    """Of an event that is known, and showed something: nothing is told of its decision."""
    with client(service) as azure:
        event = shown(azure, 240)
        assert [azure.post(f"/events/{event}/reward", json={"value": value}).status_code for value in (0.0, -1.0)] == [204, 204]
    log = DecisionLog(Settings(home=service.home).log_url)
    assert log.outcomes_of(log.read([], [event], datetime.now(UTC)).earlier[event].asked.decision_id) == []
    log.engine.dispose()


def test_a_reward_that_comes_too_late_is_refused(service):
    """With the reason; an activation, too."""
    log, name = DecisionLog(Settings(home=service.home).log_url), uuid4().hex
    with log.writing(["m1"]) as writer:
        writer.append([served(name, at=datetime.now(UTC) - CLOSED)])
    log.engine.dispose()
    with client(service) as azure:
        late = [azure.post(f"/events/r-{name}/reward", json={"value": 1.0}), azure.post(f"/events/r-{name}/activate")]
    assert [(answer.status_code, answer.json()["title"]) for answer in late] == [(422, "Outcome refused")] * 2
    assert all("28 days or more after its decision, when its last label had closed. Nothing was applied." in answer.json()["detail"] for answer in late)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_azures_paths_is_served(service, version):
    """Over one core: an event that one version ranked is rewarded by another."""
    event = f"e-{uuid4()}"
    with client(service, version) as azure, client(service) as newest:
        assert azure.post("/rank", json=ranked(168, event)).status_code == 201
        assert azure.post(f"/events/{event}/activate").status_code == 204
        assert newest.post(f"/events/{event}/reward", json={"value": 1.0}).status_code == 204
        assert azure.post("/events/unknown/reward", json={"value": 1.0}).json()["title"] == "Unknown event"


def test_null_is_the_same_as_left_out(service):
    """Clients that were made from Azure's schema send it."""
    nothing = {"excludedActions": None, "deferActivation": None, "actions": [{"id": a, "features": None} for a in ARMS]}
    with client(service) as azure:
        answer = azure.post("/rank", json=ranked(170, None, **nothing))
        unnamed = azure.post("/rank", json=ranked(170, None, contextFeatures=None))
    assert (answer.status_code, {r["id"] for r in answer.json()["ranking"]} - {"none"}) == (201, set(ARMS))
    assert (unnamed.status_code, "name no usable member" in unnamed.json()["detail"]) == (422, True)


@pytest.mark.parametrize("end", ["", "/activate", "/reward"])
def test_an_event_id_may_hold_slashes(service, end):
    """Written as such or as %2F, also where it ends like an operation."""
    event = f"site/{uuid4()}{end}"
    with client(service) as azure:
        assert azure.post("/rank", json=ranked(172, event)).json()["eventId"] == event
        for name in (event, event.replace("/", "%2F")):
            assert azure.post(f"/events/{name}/activate").status_code == 204
            assert azure.post(f"/events/{name}/reward", json={"value": 1.0}).status_code == 204


def without(folder, arm):
    """The catalog, in `folder`, without one arm."""
    shutil.copytree(Settings().catalog, folder)
    header, *rows = (folder / "arms.csv").read_text().splitlines()
    (folder / "arms.csv").write_text("\n".join([header, *(row for row in rows if row.split(",")[0] != arm)]) + "\n")
    return str(folder)


def test_an_event_is_ranked_once_whatever_the_catalog_becomes(home, tmp_path):
    """Who repeats himself is answered alike after one arm came and another one went, a fallback included; who offers others is refused, the new arm too."""
    a, gone, new = ARMS
    first = {"one": ranked(192, "one", actions=[{"id": a}, {"id": gone}]), "two": ranked(192, "two", actions=[{"id": a}]), "none": ranked(0, "none")}
    first["none"]["actions"] = [{"id": gone}]
    with serving(home, CATALOG=without(tmp_path / "before", new)) as service, client(service) as azure:
        wait(lambda: service.ready().status_code == 200)
        answers = {name: azure.post("/rank", json=body) for name, body in first.items()}
    with serving(home, CATALOG=without(tmp_path / "after", gone)) as service, client(service) as azure:
        again = {name: azure.post("/rank", json=body) for name, body in first.items()}
        other = [
            azure.post("/rank", json=first[name] | {"actions": [{"id": arm} for arm in arms]}).status_code
            for name, arms in (("one", [a]), ("one", [a, gone, new]), ("two", [a, new]), ("two", [new]), ("none", [a]), ("none", [gone, new]))
        ]
        unknown = azure.post("/rank", json=ranked(192, "three", actions=[{"id": gone}]))
    assert [answer.status_code for answer in answers.values()] == [201] * 3
    assert {name: answer.json() for name, answer in again.items()} == {name: answer.json() for name, answer in answers.items()}
    assert (other, unknown.status_code) == ([409] * 6, 422)
