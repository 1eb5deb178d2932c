"""The step `learn`: one run takes in everything that is due, the next one finds nothing, and beside a learner it leaves at once."""

from __future__ import annotations

from datetime import date
from typing import Any, cast

import pytest

from tests.fakes import learning as fake
from tests.fakes.learning import AS_OF, DAY, HOUR
from tests.fakes.online import FakeOnline
from tests.fakes.registry import FakeRegistry
from training.adapters import feast_push
from training.adapters import posterior_files as files
from training.adapters.decision_log import DecisionLog
from training.adapters.experiments import SqlExperiments
from training.adapters.learner_lock import only_learner
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.nouns import NONE, OutcomeKind
from training.steps import learn, task

DAY_OF_RUN = date(2026, 3, 2)
SHOWN = [i for i in range(40) if fake.served(i, AS_OF).chosen_arm != NONE]


@pytest.fixture
def settings(tmp_path):
    """A home."""
    return Settings(home=tmp_path)


@pytest.fixture
def online(monkeypatch):
    """Every member online as of AS_OF, in memory in place of Feast."""
    made = FakeOnline()
    made.materialize(AS_OF, {f"m{i}": 0 for i in range(50)})
    monkeypatch.setattr(feast_push, "OnlineMembers", lambda _: made)
    return made


@pytest.fixture
def log(settings):
    """40 decisions of a day."""
    made = DecisionLog(settings.log_url)
    fake.fill(made, [fake.served(i, AS_OF + i * HOUR / 2) for i in range(40)])
    return made


@pytest.fixture
def platform(tmp_path, settings):
    """A platform of which this step uses the registry only, with the small model in charge."""
    nothing, registry = cast("Any", None), FakeRegistry(tmp_path / "registry")
    fake.model().save(tmp_path / "trained")
    registry.point("champion", registry.register(tmp_path / "trained", {"run_id": "one"}))
    return Platform(nothing, nothing, nothing, nothing, registry, nothing, SqlExperiments(settings.ledger_url))


def test_one_run_takes_in_everything_and_the_next_one_nothing(settings, platform, log, online, monkeypatch):
    """A click and 39 windows that closed, in batches of seven rows, published; the members' rows in parts as well."""
    monkeypatch.setattr("training.adapters.learner.MOST", 7)
    monkeypatch.setattr("training.adapters.learning.PUSHED", 7)
    fake.tell(log, (f"d{SHOWN[0]}", OutcomeKind.CLICK, AS_OF + 20 * HOUR))
    report = learn.run(DAY_OF_RUN, settings, platform, lambda: AS_OF + 2 * DAY)
    members = {fake.served(i, AS_OF).asked.member_id for i in SHOWN}
    assert (report.busy, report.model_version, report.answers, report.rows, report.damaged) == (False, "1", 40, len(members), 0)
    assert files.current(settings.posterior, "1") == report.posterior
    assert {member: online.rows[member]["messages_7d"] for member in members} == dict.fromkeys(members, 1.0)
    again = learn.run(DAY_OF_RUN, settings, platform, lambda: AS_OF + 2 * DAY)
    assert (again.answers, again.rows, again.posterior) == (0, 0, report.posterior)


def test_beside_a_learner_it_leaves_at_once(settings, platform, log, online):
    """Green, and nothing is touched."""
    with only_learner(log.engine, settings.posterior) as mine:
        assert mine
        assert learn.run(DAY_OF_RUN, settings, platform) == learn.LearnReport(busy=True)
    assert files.current(settings.posterior, "1") is None


def test_without_a_champion_only_the_rows_are_renewed(settings, platform, log, online):
    """By the clock of the settings."""
    platform.registry.aliases.clear()
    report = learn.run(DAY_OF_RUN, settings, platform)
    assert (report.model_version, report.answers) == ("", 0)
    assert report.rows > 0


def test_a_scheduler_finds_it_by_its_verb(settings, log, online, monkeypatch):
    """With the settings' own platform; a home without a registry has no champion."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(settings.home))
    report = task.execute("learn", "2026-03-02")
    assert (report["busy"], report["model_version"], report["answers"]) == (False, "", 0)
    assert report["rows"] > 0
