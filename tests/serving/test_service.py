"""The service as callers meet it: real processes, a real socket, a real store, log and registry."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from uuid import uuid4

import httpx
import pytest

from sources.simulated.play_client import Service
from tests.serving.conftest import ago, member, soonest, wait
from training.adapters.decision_log import DecisionLog
from training.adapters.log_keys import ApiKeys
from training.config.settings import ROOT, Settings
from training.domain.catalog import load_catalog
from training.domain.nouns import Surface


def ask(client, who=2, surface="web", **more):
    """One decision."""
    return client.post("/v1/decisions", json={"member_id": member(who), "surface": surface, **more})


def command(service, *arguments):
    """A command on the home of the service."""
    env = {"RIGHTMATCH_HOME": str(service.home), "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "RIGHTMATCH_TRAINING__TEXT_ENCODER": "hashed"}
    return subprocess.run([sys.executable, "-m", "training.cli.main", *arguments], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_a_decision_and_its_funnel(service):
    """The answer, then everything it was taken from; the propensities are a distribution over what was considered."""
    with service.client() as client:
        answer = ask(client, 392).json()
        funnel = client.get(f"/v1/decisions/{answer['decision_id']}").json()
    assert (answer["reason"], answer["model_version"]) == ("champion", "1")
    assert sum(a["propensity"] for a in funnel["considered"]) == pytest.approx(1.0)
    chosen = answer["arm"]["arm_id"] if answer["arm"] else "none"
    assert [a["propensity"] for a in funnel["considered"] if a["arm_id"] == chosen] == [answer["propensity"]]
    assert all(a["sd"] is not None and a["mean"] is not None for a in funnel["considered"])
    assert [a["arm_id"] for a in funnel["considered"]] == load_catalog(Settings().catalog).feasible(Surface.WEB, ["email", "push", "sms"])
    assert (funnel["features"]["industry"], funnel["member_id"], funnel["assignment_group"], funnel["model_version"]) == ("tech", "m392", "champion", "1")
    assert 0 <= funnel["feature_age_hours"] < 25
    assert funnel["data_window"]["first"] < funnel["data_window"]["last"]


def test_the_same_request_is_answered_alike(service):
    """Also when ten ask at once; a question of another member under the same id is refused."""
    name = f"r-{uuid4()}"
    with service.client() as client:
        with ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(lambda _: ask(client, 4, request_id=name).json(), range(10)))
        reused = ask(client, 6, request_id=name)
    assert len({json.dumps(a, sort_keys=True) for a in answers}) == 1
    assert (reused.status_code, reused.headers["content-type"]) == (409, "application/problem+json")


def test_replay_is_equal_to_the_bit(service):
    """By the command, in another process, from what was stored."""
    with service.client() as client:
        decision = ask(client, 8, "outbound").json()["decision_id"]
    done = command(service, "replay", decision, "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (found["equal"], found["largest_difference"], found["chosen_arm"]) == (True, 0.0, found["replayed_arm"])


def test_outcomes_are_applied_once_and_the_wrong_ones_named(service):
    """A batch with one unknown decision, one repeat, one of an impossible time and one that is no outcome at all."""
    with service.client() as client:
        decision = shown(client)
        good = {"outcome_id": f"o-{uuid4()}", "decision_id": decision, "kind": "click", "occurred_at": datetime.now(UTC).isoformat()}
        assert client.post("/v1/outcomes", json=good).json() == {"accepted": 1, "repeated": 0, "refused": []}
        batch = [good, good | {"outcome_id": "x", "decision_id": "never"}, good | {"outcome_id": "y", "occurred_at": ago(days=3)}, {"kind": "shrug"}]
        answer = client.post("/v1/outcomes", json=batch)
        told = client.get(f"/v1/decisions/{decision}").json()["outcomes"]
    assert answer.status_code == 422
    body = answer.json()
    assert (body["accepted"], body["repeated"]) == (0, 1)
    assert [r["index"] for r in body["refused"]] == [1, 2, 3]
    assert "never" in body["refused"][0]["why"]
    assert len(told) == 1


def test_a_batch_of_outcomes_is_bounded(service):
    """A thousand are taken; none, and one more, are refused whole, and nothing of them is kept."""
    with service.client() as client:
        decision = shown(client)
        taken, left = ({"outcome_id": f"o-{uuid4()}", "decision_id": decision, "kind": "click", "occurred_at": datetime.now(UTC).isoformat()} for _ in range(2))
        assert client.post("/v1/outcomes", json=[taken] * 1_000).json() == {"accepted": 1, "repeated": 999, "refused": []}
        for batch in ([], [left] * 1_001):
            answer = client.post("/v1/outcomes", json=batch)
            assert (answer.status_code, answer.json()["title"]) == (422, "Invalid request")
            assert f"A batch has 1 to 1000 outcomes, this one {len(batch)}. Nothing was applied." in answer.json()["detail"]
        told = client.get(f"/v1/decisions/{decision}").json()["outcomes"]
    assert (taken["outcome_id"] in {o["outcome_id"] for o in told}, left["outcome_id"] in {o["outcome_id"] for o in told}) == (True, False)


def test_an_opt_out_closes_the_channel_at_once(service):
    """The very next decision excludes it, although the member's features still say yes."""
    with service.client() as client:
        for who in range(100, 140, 2):
            answer = ask(client, who, "outbound").json()
            if answer["arm"]:
                break
        channel = answer["arm"]["channel"]
        out = {"outcome_id": f"o-{uuid4()}", "decision_id": answer["decision_id"], "kind": "opt_out", "occurred_at": datetime.now(UTC).isoformat()}
        assert client.post("/v1/outcomes", json=out).status_code == 200
        funnel = client.get(f"/v1/decisions/{ask(client, who, 'outbound').json()['decision_id']}").json()
    assert f"consent for {channel} was withdrawn" in funnel["excluded"].values()


def test_caps_hold_under_concurrency(service):
    """Forty requests of one member at once, and one message a day allowed."""
    with service.client() as client, ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: ask(client, 142, "outbound").json(), range(40)))
    assert sum(a["arm"] is not None for a in answers) <= 1


def test_unknown_members_get_the_safe_answer(service):
    """Marked, certain, and kept apart."""
    with service.client() as client:
        answer = ask(client, 0).json()
        funnel = client.get(f"/v1/decisions/{answer['decision_id']}").json()
    assert (answer["arm"], answer["propensity"], answer["reason"], answer["model_version"]) == (None, 1.0, "unknown_member", None)
    assert (funnel["assignment_group"], funnel["model_version"]) == ("fallback", None)
    assert funnel["explained"] == "The safe default (unknown_member) is certain by definition, so no model has a mean or a deviation for it."
    assert [(arm["arm_id"], arm["propensity"]) for arm in funnel["considered"]] == [("none", 1.0)]
    replayed = command(service, "replay", answer["decision_id"])
    assert (replayed.returncode, "the safe default, certain by definition (unknown_member): equal to the bit" in replayed.stdout) == (0, True)


def test_a_paused_arm_is_gone_within_a_second(service):
    """By the command; resumed, it is back. One who has had messages enough would not tell: then the next one is asked for."""
    others = iter(range(1, 400, 2))
    arm = load_catalog(Settings().catalog).feasible(Surface.WEB, [])[1]

    def reason():
        """Why nobody may be shown it now, other than by a cap."""
        return next(why for who in others if not (why := excluded(client, who).get(arm, "")).startswith("cap reached"))

    def seconds(verb, then):
        assert command(service, "arm", verb, arm).returncode == 0
        return wait(lambda: reason() == then, pause=0.1)

    with service.client() as client:
        assert soonest(lambda: max(seconds("pause", "arm is paused"), seconds("resume", "")), 1.0) < 1.0
    assert command(service, "arm", "pause", "no.such.arm").returncode == 1


def test_keys(service):
    """Without one, with one that lacks the scope, and with a revoked one."""
    keys = ApiKeys(Settings(home=service.home).log_url)
    assert httpx.post(f"{service.url}/v1/decisions", json={}, timeout=60).status_code == 401

    def seconds():
        """The longer of the two times until the key is known and until it is known to be revoked."""
        narrow.append(keys.create("narrow", ("outcomes",), datetime.now(UTC)))
        with service.client(narrow[-1]) as client:
            known = wait(lambda: ask(client).status_code == 403)
            assert client.post("/v1/outcomes", json=[]).status_code == 422
            keys.revoke(narrow[-1].split("_")[1], datetime.now(UTC))
            return max(known, wait(lambda: client.post("/v1/outcomes", json=[]).status_code == 401))

    narrow: list[str] = []
    assert soonest(seconds, 1.0) < 1.0
    assert narrow[0] not in DecisionLog(Settings(home=service.home).log_url).engine.url.render_as_string()


def test_a_world_that_knocks_asks_for_nothing(service):
    """What `rightmatch world play` sends first is refused as empty where the key would do, and nothing is decided."""

    async def knocked():
        async with Service(service.url, service.token, 1) as there:
            await there.knock()

    log = DecisionLog(Settings(home=service.home).log_url)
    newest = len(log.decisions_since(0, 10_000))
    asyncio.run(knocked())
    assert len(log.decisions_since(0, 10_000)) == newest
    log.engine.dispose()


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"member_id": "m2", "surface": "fax"}', "application/json", 422),
        (b'{"member_id": "m2", "surface": "web", "colour": 1}', "application/json", 422),
        (b'{"member_id": "m2", "surface": "web", "at": "2026-03-01T00:00:00Z"}', "application/json", 422),
        (b'{"member_id": "m\\u0000", "surface": "web"}', "application/json", 422),
        (b"<member/>", "text/xml", 415),
        (b"[" * 100_000, "application/json", 422),
        (b'"' + b"x" * (1 << 20) + b'"', "application/json", 413),
    ],
)
def test_bad_bodies_are_problems(service, body, kind, status):
    """Each with a detail that says what was wrong."""
    with service.client() as client:
        answer = client.post("/v1/decisions", content=body, headers={"Content-Type": kind})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["status"] == status
    assert len(answer.json()["detail"]) > 20


def test_a_body_that_never_says_how_long_it_is_is_bounded_too(service):
    """Sent in pieces."""
    with service.client() as client:
        answer = client.post("/v1/outcomes", content=(b" " * 65_536 for _ in range(20)), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_unknown_paths_and_methods_are_problems(service):
    """As RFC 9457 has it."""
    with service.client() as client:
        assert client.get("/v2/decisions").json()["status"] == 404
        assert client.get("/v1/decisions/").json()["status"] == 404
        assert client.delete("/v1/decisions").json()["status"] == 405
        assert client.get("/v1/decisions/none-such").json()["title"] == "Unknown decision"


def test_metrics_and_probes(service):
    """What an operator reads."""
    with service.client() as client:
        ask(client, 160)
        ask(client, 0)
        text = client.get("/metrics").text
    for name in ("stage_seconds", "propensity_entropy", "arm_total", "feature_age", "posterior_version", "posterior_lag", "fallbacks_total", "request_seconds"):
        assert f"rightmatch_{name}" in text
    ready = service.ready().json()
    assert ready.pop("posterior") >= 0
    assert ready == {"status": "ready", "champion": "1", "experiment": None, "troubles": {}}
    assert httpx.get(f"{service.url}/metrics", timeout=60).status_code == 401


def test_the_trace_is_passed_on_and_kept(service):
    """In the answer, in the log's line, and with the decision, also by Personalizer's interface; what is no trace is kept nowhere."""
    trace, name = "4bf92f3577b34da6a3ce929d0e0e4736", f"e-{uuid4()}"
    context = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    arms = load_catalog(Settings().catalog).feasible(Surface.WEB, [])[1:3]
    rank = {"eventId": name, "contextFeatures": [{"member_id": member(164)}], "actions": [{"id": a} for a in arms]}
    with service.client() as client:
        answer = client.post("/v1/decisions", json={"member_id": member(162), "surface": "web"}, headers=context)
        odd = client.post("/v1/decisions", json={"member_id": member(162), "surface": "web"}, headers={"traceparent": f"00-{'0' * 32}-00f067aa0ba902b7-01"})
        client.post("/personalizer/v1.1/rank", json=rank, headers=context)
        kept = [client.get(f"/v1/decisions/{a.json()['decision_id']}").json()["trace_id"] for a in (answer, odd)]
    assert answer.headers["traceparent"] == context["traceparent"]
    assert "traceparent" not in odd.headers
    assert kept == [trace, ""]
    log = DecisionLog(Settings(home=service.home).log_url)
    assert log.read([], [name], datetime.now(UTC)).earlier[name].asked.trace_id == trace
    log.engine.dispose()
    wait(lambda: [line["path"] for line in service.said() if line.get("trace_id") == trace] == ["/v1/decisions", "/personalizer/v1.1/rank"])


def excluded(client, who):
    """Reasons of the arms that were ruled out now."""
    return client.get(f"/v1/decisions/{ask(client, who).json()['decision_id']}").json()["excluded"]


def shown(client):
    """A decision that shows something."""
    for who in range(200, 398, 2):
        answer = ask(client, who, "app").json()
        if answer["arm"]:
            return answer["decision_id"]
    raise AssertionError("nobody is shown anything")


def test_a_request_id_answers_one_question_only(service):
    """Its channels and exclusions belong to it: what stands may be what the second question rules out. Their order does not."""
    name, arms = f"r-{uuid4()}", load_catalog(Settings().catalog).feasible(Surface.OUTBOUND, ["email", "push"])[1:3]
    with service.client() as client:
        first = ask(client, 164, "outbound", request_id=name, channels=["email", "push"], exclude=arms)
        again = ask(client, 164, "outbound", request_id=name, channels=["push", "email"], exclude=arms[::-1])
        narrower = ask(client, 164, "outbound", request_id=name, channels=["push"], exclude=arms)
        other = ask(client, 164, "outbound", request_id=name, channels=["email", "push"])
    assert (again.status_code, again.json()) == (200, first.json())
    assert [narrower.status_code, other.status_code] == [409, 409]


def test_ids_have_no_end_of_line(service):
    """Python's patterns would let one pass."""
    with service.client() as client:
        assert client.post("/v1/decisions", json={"member_id": "m2\n", "surface": "web"}).status_code == 422
