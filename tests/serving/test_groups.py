"""A live experiment in the real service: who gets whose decisions, and how soon it ends or is taken back."""

from __future__ import annotations

import itertools
import shutil
import time
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from serving.explain import again, model_of
from tests.serving.conftest import MEMBERS, PATIENCE, member, serving, soonest, wait
from tests.serving.test_swaps import OPEN, another, ask
from training.adapters import posterior_files
from training.adapters.decision_log import DecisionLog
from training.adapters.experiments import SqlExperiments
from training.adapters.registry import MlflowRegistry
from training.adapters.service_times import slow
from training.config.settings import Settings
from training.domain.assignment import Group
from training.domain.experiment import Experiment, State

SHARES = {"holdback": 0.2, "control": 0.2}
NOW = datetime.now(UTC)
EXPERIMENT = Experiment("e1", "2", "1", State.RUNNING, (0.5,), ((NOW.date() - timedelta(1), 0.5),), 0.05, NOW, NOW, "opened")


@pytest.fixture(scope="module")
def home(furnished, tmp_path_factory):
    """Version 1 in charge, 2 its challenger, 3 for the holdback."""
    folder = tmp_path_factory.mktemp("groups") / "home"
    shutil.copytree(furnished, folder)
    for run in ("second", "third"):
        registry, version = another(folder, run)
    registry.point("anchor", version)
    SqlExperiments(Settings(home=folder).ledger_url).open(EXPERIMENT, "test")
    return folder


@pytest.fixture(scope="module")
def running(home):
    """Two workers, with an experiment from the first request on."""
    with serving(home, 2, **OPEN, **{f"EXPERIMENT__{name.upper()}": str(share) for name, share in SHARES.items()}) as service:
        wait(lambda: service.ready().status_code == 200)
        yield service


def settings_of(service):
    """As the service has them."""
    return Settings(home=service.home, experiment=SHARES)


def of(group, running=EXPERIMENT):
    """Members who consent, of that group now."""
    split = settings_split(running)
    return [i for i in range(2, MEMBERS, 2) if split.group(member(i), datetime.now(UTC).date()) is group]


def settings_split(running):
    """Who is in which group."""
    return Settings(experiment=SHARES).experiment.split(running)


def told(client):
    """Metrics by name."""
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in client.get("/metrics").text.splitlines() if not line.startswith("#"))}


def test_each_group_is_decided_for_by_its_own_and_can_be_taken_again(running):
    """Group, version and stage of every member are those of hash and day; each decision again to the bit, random control's too; slow ones are counted."""
    whose = {Group.CHAMPION: "1", Group.CHALLENGER: "2", Group.HOLDBACK: "3", Group.CONTROL: None}
    settings, log = settings_of(running), DecisionLog(settings_of(running).log_url)
    with running.client() as client:
        for group, version in whose.items():
            for who in of(group)[:8]:
                answer = ask(client, who).json()
                served = log.find(answer["decision_id"])
                assert (served.group, answer["model_version"]) == (group.value, version)
                assert answer["reason"] == ("control" if group is Group.CONTROL else "champion")
                assert (served.notes["experiment"], served.notes["stage"]) == ("e1", "1")
                assert again(served, model_of(served, log, running_registry(running), settings)).equal
        funnel = client.get(f"/v1/decisions/{answer['decision_id']}").json()
        assert len({a["propensity"] for a in funnel["considered"]}) == 1
        assert "could win alike" in funnel["explained"]
        metrics = told(client)
    assert {metrics[f'rightmatch_model_version{{group="{g}"}}'] for g in ("champion", "challenger", "holdback")} == {1.0, 2.0, 3.0}
    assert metrics['rightmatch_decisions_total{group="control",reason="control"}'] == 8
    assert metrics["rightmatch_experiment_stages"] == 1
    said = running.ready().json()
    assert {**said["experiment"], "posterior": 0} == {"experiment_id": "e1", "stage": 1, "challenger": "2", "posterior": 0}
    counted = {group.value: 8 for group in whose}
    wait(lambda: {group: sum(d.decisions for d in days.values()) for group, days in slow(settings, NOW.date(), datetime.now(UTC).date()).items()} == counted)


def running_registry(service):
    """Of its home."""
    return MlflowRegistry(settings_of(service))


def test_the_challenger_learns_as_the_champion_does_and_the_anchor_stands(running):
    """From a click on a decision of the champion's; each group's next decisions are by the newer posterior."""
    folder = settings_of(running).posterior
    with running.client() as client:
        answer = next(a for who in of(Group.CHAMPION)[8:] if (a := ask(client, who).json())["arm"])
        before = {version: posterior_files.current(folder, version) for version in ("1", "2", "3")}
        click = {"outcome_id": "c1", "decision_id": answer["decision_id"], "kind": "click", "occurred_at": datetime.now(UTC).isoformat()}
        assert client.post("/v1/outcomes", json=click).status_code == 200
        log = DecisionLog(settings_of(running).log_url)
        for group, version in ((Group.CHAMPION, "1"), (Group.CHALLENGER, "2")):
            wait(lambda g=group, v=version: (log.find(ask(client, of(g)[0]).json()["decision_id"]).posterior or 0) > before[v])
        served = log.find(ask(client, of(Group.CHALLENGER)[0]).json()["decision_id"])
        assert again(served, model_of(served, log, running_registry(running), settings_of(running))).equal
        assert log.find(ask(client, of(Group.HOLDBACK)[0]).json()["decision_id"]).posterior == before["3"] == 0


def took(service, change, version, members):
    """Seconds from the beginning of `change` until the last answer by another version than `version` to `members`.

    Thirty answers in a row by that version, each on a new connection, say that all workers have changed.
    """
    members = itertools.cycle(members)
    last = began = time.monotonic()
    change()
    right = 0
    while right < 30:
        with service.client() as client:
            answer = ask(client, next(members)).json()
        assert answer["reason"] == "champion"
        right = right + 1 if answer["model_version"] == version else 0
        last = time.monotonic() if not right else last
        assert time.monotonic() < began + PATIENCE
    return last - began


def test_a_rejected_experiment_and_a_roll_back_take_less_than_a_second(running, capsys):
    """The challenger's members are the champion's again; then another version is promoted and taken back, which loads nothing."""
    registry, experiments = running_registry(running), SqlExperiments(settings_of(running).ledger_url)
    names = itertools.count(1)

    def rejected():
        """Seconds; after the first time another one is opened for it."""
        one = experiments.running()
        if one is None:
            one = replace(EXPERIMENT, experiment_id=f"rejected-{next(names)}")
            took(running, lambda: experiments.open(one, "test"), "2", of(Group.CHALLENGER, one))
        seconds = took(running, lambda: experiments.move(one.ended(State.REJECTED, NOW, "harmful"), "test"), "1", of(Group.CHALLENGER, one))
        wait(lambda: running.ready().json()["experiment"] is None)
        return seconds

    def promote():
        registry.point("previous", "1")
        registry.point("champion", "2")

    def rolled_back():
        """Seconds; each worker takes up the one and then the other."""
        before = len(events(running, "champion"))
        took(running, promote, "2", of(Group.CHAMPION))
        wait(lambda: len(events(running, "champion")) == before + 2)
        seconds = took(running, lambda: registry.point("champion", "1"), "1", of(Group.CHAMPION))
        wait(lambda: len(events(running, "champion")) == before + 4)
        return seconds

    ended, back = soonest(rejected, 1.0), soonest(rolled_back, 1.0)
    with capsys.disabled():
        print(f"\nseconds until the last decision by another version: rejected {ended:.2f}, rolled back {back:.2f}")
    assert ended < 1.0
    assert back < 1.0


def nothing_runs(service):
    """The experiments of its home, of which none goes on."""
    experiments = SqlExperiments(settings_of(service).ledger_url)
    if (one := experiments.running()) is not None:
        experiments.move(one.ended(State.STOPPED, NOW, "the next one comes"), "test")
    return experiments


def events(service, name):
    """Lines of the workers' log of that event."""
    return [line for line in service.said() if line["event"] == name and line.get("service") != "learner"]


def said(service):
    """What one of its workers says of itself, by whichever takes a new connection."""
    ready = service.ready()
    return ready.status_code, ready.json()["status"], list(ready.json()["troubles"])


def test_a_challenger_that_cannot_be_loaded_harms_its_own_members_alone(running):
    """They get the marked safe default, nobody another model's decision; the service stays ready and says what is wrong. Afterwards they are the champion's."""
    _, version = another(running.home, "fourth")
    path = running.home / "models" / version / "model.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    experiments, damaged = nothing_runs(running), replace(EXPERIMENT, experiment_id="e2", challenger=version)
    experiments.open(damaged, "test")
    with running.client() as client:
        wait(lambda: ask(client, of(Group.CHALLENGER, damaged)[0]).json()["reason"] == "champion_failed")
        wait(lambda: said(running) == (200, "degraded", ["challenger"]))
        found = Counter((ask(client, who).json()["reason"]) for who in of(Group.CHAMPION, damaged)[:20])
        assert found == {"champion": 20}
        experiments.move(damaged.ended(State.STOPPED, NOW, "damaged"), "test")
        wait(lambda: ask(client, of(Group.CHALLENGER, damaged)[0]).json()["reason"] == "champion")


def test_a_ledger_that_cannot_be_read_ends_nothing(running):
    """What was read last goes on, and the service says so until it can be read again."""
    third = replace(EXPERIMENT, experiment_id="e3")
    nothing_runs(running).open(third, "test")
    ledger, members = running.home / "ledger.db", of(Group.CHALLENGER, third)

    def answered():
        """The version, by whichever worker takes a new connection."""
        with running.client() as one:
            return ask(one, members[0]).json()["model_version"]

    wait(lambda: {answered() for _ in range(30)} == {"2"})
    with running.client() as client:
        wait(lambda: running.ready().json()["troubles"] == {})
        whole = {path: path.read_bytes() for path in running.home.glob("ledger.db*")}
        for path in whole:
            path.write_bytes(b"no database" * 1000)
        wait(lambda: "experiment" in running.ready().json()["troubles"])
        assert {ask(client, who).json()["model_version"] for who in members[:10]} == {"2"}
        assert ledger.exists()
