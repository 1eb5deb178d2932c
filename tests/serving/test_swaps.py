"""Another champion, a damaged one, a lost store and a newer posterior, while the service answers."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from serving.explain import again, model_of
from tests.serving.conftest import member, serving, soonest, wait
from training.adapters.decision_log import DecisionLog
from training.adapters.registry import MlflowRegistry
from training.config.settings import Settings
from training.model.matching import MatchingModel

OPEN = {f"SERVING__CAPS__{name}": "100000" for name in ("DAY", "WEEK", "CHANNEL_DAY", "CHANNEL_WEEK")}


@pytest.fixture(scope="module")
def running(furnished, tmp_path_factory):
    """Two workers without caps, ready; each test leaves what the next one can live with."""
    home = tmp_path_factory.mktemp("swaps") / "home"
    shutil.copytree(furnished, home)
    with serving(home, 2, **OPEN) as service:
        wait(lambda: service.ready().status_code == 200)
        yield service


def another(home, run):
    """The champion with half its certainty, as another version; not yet in charge."""
    registry = MlflowRegistry(Settings(home=home))
    model = MatchingModel.load(registry.fetch("1"))
    heads = {stage: replace(head, precision=head.precision * 0.25) for stage, head in model.heads.items()}
    replace(model, heads=heads).save(home / run)
    return registry, registry.register(home / run, {"run_id": run})


def damage(home, registry, run, file):
    """Put a version in charge of which only the beginning of `file` is left."""
    _, version = another(home, run)
    path = home / "models" / version / file
    path.write_bytes(path.read_bytes()[:1000])
    registry._client().set_registered_model_alias("matching", "champion", version)  # `point` would refuse it


def ask(client, who, surface="app"):
    """One decision."""
    return client.post("/v1/decisions", json={"member_id": member(who), "surface": surface})


class Load(threading.Thread):
    """Asks until told to stop."""

    def __init__(self, service):
        super().__init__()
        self.service, self.stop, self.answers = service, threading.Event(), []

    def run(self):
        """All even members in turn."""
        with self.service.client() as client:
            while not self.stop.is_set():
                self.answers.append(ask(client, 2 + 2 * (len(self.answers) % 190)))


def test_a_click_is_seen_by_the_next_second(running):
    """One second after its acknowledgement a decision is taken by a newer posterior and knows of the member's message and click."""
    members = iter(range(2, 398, 2))

    def seconds():
        """Until the click of another member is seen."""
        who, first = next((who, answer) for who in members if (answer := ask(client, who).json())["arm"])
        before = client.get(f"/v1/decisions/{first['decision_id']}").json()
        told = [
            {"outcome_id": str(uuid4()), "decision_id": first["decision_id"], "kind": kind, "occurred_at": datetime.now(UTC).isoformat()}
            for kind in ("impression", "click")
        ]
        assert client.post("/v1/outcomes", json=told).status_code == 200

        def after():
            return client.get(f"/v1/decisions/{ask(client, who).json()['decision_id']}").json()

        took = wait(lambda: (a := after())["posterior"] > before["posterior"] and a["features"]["clicks_28d"] == before["features"]["clicks_28d"] + 1)
        assert after()["features"]["messages_7d"] > before["features"]["messages_7d"]
        return took

    with running.client() as client:
        assert soonest(seconds, 1.0) < 1.0


def test_any_worker_tells_the_metrics_of_all(running):
    """Both serve version 1; a worker that was killed leaves what it counted and takes what it served with it."""

    def told():
        lines = [line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in lines}

    with running.client() as client:
        assert ask(client, 2).json()["reason"] == "champion"
        assert told()['rightmatch_model_version{group="champion"}'] == 1.0
        wait(lambda: told()["rightmatch_posterior_lag_seconds"] < 5.0)
        before, victim = told()['rightmatch_decisions_total{group="champion",reason="champion"}'], running.workers()[0]
        os.kill(victim, signal.SIGKILL)
        wait(lambda: victim not in running.workers() and len(running.workers()) == 2)
    wait(lambda: running.ready().status_code == 200)
    with running.client() as client:
        wait(lambda: told()['rightmatch_model_version{group="champion"}'] == 1.0)
        assert told()['rightmatch_decisions_total{group="champion",reason="champion"}'] >= before > 0


def test_a_swap_fails_no_request_and_mixes_nothing(running):
    """Under load; every decision can be taken again to the bit by the one version that it names. Then a damaged version changes nothing."""
    load = Load(running)
    load.start()
    wait(lambda: len(load.answers) > 20)
    registry, version = another(running.home, "second")
    registry.point("champion", version)
    wait(lambda: [a.json()["model_version"] for a in load.answers[-20:]] == [version] * 20)
    for run, file in (("third", "model.safetensors"), ("fourth", "manifest.json")):
        damage(running.home, registry, run, file)
        wait(lambda: "champion" in running.ready().json()["troubles"])
        before = len(load.answers)
        wait(lambda before=before: len(load.answers) > before + 20)
    load.stop.set()
    load.join()
    assert {a.status_code for a in load.answers} == {200}
    assert {a.json()["reason"] for a in load.answers} == {"champion"}
    assert set(Counter(a.json()["model_version"] for a in load.answers)) == {"1", version}
    log, settings = DecisionLog(Settings(home=running.home).log_url), Settings(home=running.home)
    for answer in load.answers[::17]:
        served = log.find(answer.json()["decision_id"])
        assert again(served, model_of(served, log, registry, settings)).equal


def test_a_lost_store_is_survived(running):
    """Decisions go on as the safe default and say why."""
    with running.client() as client:
        assert ask(client, 2).json()["reason"] == "champion"
        for file in (running.home / "feast").glob("online*"):
            file.write_bytes(b"no database" * 1000)
        wait(lambda: ask(client, 4).json()["reason"] == "store_down")
        answer = ask(client, 6).json()
    assert (answer["arm"], answer["propensity"]) == (None, 1.0)
