"""The learner's loop and its process: it takes up whatever champion is in charge, survives what fails, and ends when it is told to."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from datetime import UTC, datetime

import pytest

from serving import learner_status
from serving.learn import BUSY, Every, keep_turning
from tests.fakes import learning as fake
from tests.fakes.learning import AS_OF, DAY
from tests.fakes.loops import SHOWN, LearningWorld
from tests.serving.conftest import soonest
from training.adapters import posterior_files as files
from training.adapters.decision_log import DecisionLog
from training.config.serving import Clock
from training.config.settings import ROOT, Settings
from training.domain.errors import LogError
from training.domain.nouns import NONE, OutcomeKind


@pytest.fixture
def world(tmp_path):
    """Without a champion."""
    return LearningWorld(tmp_path)


def test_every():
    """True at first and after so many seconds, later where it is put off."""
    every = Every(2.0)
    assert [every.due(at) for at in (0.0, 1.9, 2.0, 3.9, 4.5)] == [True, False, True, False, True]
    every.put_off(9.0)
    assert [every.due(at) for at in (8.9, 9.0)] == [False, True]


def test_without_a_champion_the_members_rows_are_renewed_all_the_same(world):
    """Messages are counted whoever decides; the status says that nobody is learned for."""
    assert learner_status.read(world.settings.posterior) is None
    world.turns()
    assert (world.status.model_version, world.status.posterior, world.status.trouble) == ("", 0, "")
    assert world.status.rows == len({fake.served(i, AS_OF).asked.member_id for i in SHOWN})
    assert files.current(world.settings.posterior, "1") is None


def test_nobody_knows_the_lag_while_the_model_is_not_loaded(world, monkeypatch):
    """Outcomes may wait that nobody has looked at: neither 0 nor another number is said of them, until the model can be read."""
    world.turns()
    assert learner_status.behind(world.settings.posterior, world.at) >= 0.0
    world.crown("one")
    with monkeypatch.context() as patch:
        patch.setattr(world.loop._learning, "learn", lambda *_: (_ for _ in ()).throw(OSError("the disk hangs")))
        world.turns()
        assert world.status.lag_seconds is None
        assert learner_status.behind(world.settings.posterior, world.at) is None
    world.turns(60.0)
    assert world.status.lag_seconds == 0.0


def test_a_champion_whose_alias_is_gone_is_missed(world):
    """Workers go on with it, so somebody must be told that nobody learns: also by a learner that was started since. With the alias back it makes good."""
    world.crown("one")
    fake.tell(world.log, (f"d{SHOWN[0]}", OutcomeKind.CLICK, world.at))
    world.turns(1.0)
    alias = world.registry.aliases.pop("champion")
    fake.tell(world.log, (f"d{SHOWN[1]}", OutcomeKind.CLICK, world.at))
    for restart in (lambda: None, world.restart):
        restart()
        world.turns()
        status = world.status
        assert (status.model_version, status.posterior, status.posteriors, status.lag_seconds) == ("1", 1, {}, None)
        assert "by version 1, and nobody learns" in status.trouble
        assert learner_status.behind(world.settings.posterior, world.at) is None
        assert world.said[-1][0] == "trouble"
    world.registry.point("champion", alias)
    world.turns()
    assert (world.status.posterior, world.status.lag_seconds, world.status.trouble) == (2, 0.0, "")
    assert [fields["duty"] for event, fields in world.said if event == "recovered"] == ["roles"]


def test_an_outcome_becomes_a_posterior_and_the_status_says_so(world):
    """The champion is taken up, a click is learned in the next turn, and the age of what waits is nothing again."""
    world.crown("one")
    world.turns()
    assert ("champion", {"model_version": "1", "posterior": 0}) in world.said
    fake.tell(world.log, (f"d{SHOWN[0]}", OutcomeKind.CLICK, world.at))
    world.turns(0.25)
    assert files.current(world.settings.posterior, "1") == 1
    status = world.status
    assert (status.posterior, status.answers, status.lag_seconds, status.trouble) == (1, 1, 0.0, "")
    assert world.online.rows[fake.served(SHOWN[0], AS_OF).asked.member_id]["clicks_28d"] == 1.0
    assert [event for event, _ in world.said].count("learned") == 1


def test_another_champion_is_taken_up_within_a_second(world):
    """And learns for itself what it had not seen; then the first one comes back and goes on from where it was."""
    world.crown("one")
    fake.tell(world.log, (f"d{SHOWN[0]}", OutcomeKind.CLICK, world.at))
    world.turns(1.0)
    world.crown("two")
    world.turns(1.0)
    assert files.current(world.settings.posterior, "2") == 1
    world.registry.point("champion", "1")
    world.turns(1.0)
    assert files.current(world.settings.posterior, "1") == 1
    assert len(world.answers()) == 2


def test_a_champion_that_cannot_be_read_is_told_of_once_and_the_rows_go_on(world):
    """Until another one is in charge; both duties are apart."""
    world.crown("one")
    (world.registry.fetch("1") / "manifest.json").write_text("{")
    world.turns()
    assert "cannot be read" in world.status.trouble
    assert [fields["duty"] for event, fields in world.said if event == "trouble"] == ["learn"]
    assert world.status.rows > 0
    world.crown("two")
    world.turns()
    assert (world.status.model_version, world.status.trouble) == ("2", "")
    assert ("champion", {"model_version": "2", "posterior": 0}) in world.said


@pytest.mark.parametrize("broken", ["training.adapters.answers.keep", "training.adapters.posterior_files.publish"])
def test_whatever_fails_in_a_batch_is_made_good(world, monkeypatch, broken):
    """The log refuses, or the disk is full: afterwards each answer is there once and the snapshot is that of the log."""
    world.crown("one")
    world.turns(1.0)

    def fails(*_):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(broken, fails)
        fake.tell(world.log, (f"d{SHOWN[0]}", OutcomeKind.CLICK, world.at))
        world.turns(2.0)
        assert "No space left on device" in world.status.trouble
    world.turns(2.0)
    assert [(row.decision_id, row.answer, row.posterior) for row in world.answers()] == [(f"d{SHOWN[0]}", 1, 1)]
    assert ("recovered", {"duty": "learn", "model_version": "1"}) in world.said
    assert files.current(world.settings.posterior, "1") == 1
    assert world.status.trouble == ""


def test_a_store_that_is_down_keeps_the_posterior_from_nothing(world, monkeypatch):
    """Rows wait; when the store is back they are written."""
    world.crown("one")
    world.online.fails = True
    fake.tell(world.log, (f"d{SHOWN[0]}", OutcomeKind.CLICK, world.at))
    world.turns()
    assert (world.status.posterior, world.status.rows) == (1, 0)
    assert world.status.waiting > 0
    assert "killed" in world.status.trouble
    world.online.fails = False
    world.turns()
    assert (world.status.waiting, world.status.trouble) == (0, "")


@pytest.mark.parametrize(("clock", "expected"), [(Clock.WALL, 90.0), (Clock.DATA, 2.0)])
def test_the_age_of_an_outcome_that_waits_is_told(world, monkeypatch, clock, expected):
    """Acknowledged ninety seconds ago and not looked at; by a calendar of the data's own nobody knows more than that it was seen waiting two seconds ago."""
    world.loop._calendar = clock
    world.crown("one")
    world.turns(1.0)
    nothing = world.learning.learn("1", world.at)
    monkeypatch.setattr(world.learning.learners["1"], "learn", lambda _: nothing)
    fake.tell(world.log, (f"d{SHOWN[0]}", OutcomeKind.CLICK, world.at))
    world.at += 90 * (DAY / 86_400)
    world.turns(2.25)
    assert world.status.lag_seconds == pytest.approx(expected)


def champion(home):
    """A home whose registry has version 1 in charge, as MLflow's tables say it."""
    fake.model().save(home / "models" / "1")
    with closing(sqlite3.connect(home / "mlflow.db")) as connection:
        connection.execute("create table registered_model_aliases (name text, alias text, version integer)")
        connection.execute("insert into registered_model_aliases values ('matching', 'champion', 1)")
        connection.execute("create table model_version_tags (key text, value text, name text, version integer)")
        connection.commit()


def started(home):
    """The process on that home."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RIGHTMATCH")}
    env |= {"RIGHTMATCH_HOME": str(home), "RIGHTMATCH_SERVING__LEARN_EVERY_MS": "50", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-m", "serving.learn"], env=env, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def until(condition, seconds=60.0):
    """Wait for it; returns how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() < began + seconds
        time.sleep(0.005)
    return time.monotonic() - began


def test_a_learner_that_lost_its_lock_ends(world):
    """Before its next turn: another may have recorded the same answers already."""
    asked, turned = iter([None, None, LogError("lost")]), []

    def ask():
        if error := next(asked):
            raise error

    world.loop.turn = turned.append
    with pytest.raises(LogError, match="lost"):
        keep_turning(world.loop, 0.0, threading.Event(), ask)
    assert len(turned) == 2


def test_the_process_learns_alone_and_stops_when_it_is_told(tmp_path):
    """An acknowledged click is in a published posterior within a second; a second learner leaves, even after the snapshots were deleted, which come back
    without an answer; SIGTERM ends it with 0.
    """
    champion(tmp_path)
    posterior = Settings(home=tmp_path).posterior
    log = DecisionLog(Settings(home=tmp_path).log_url)
    at = datetime.now(UTC)
    served = [fake.served(i, at) for i in range(40)]
    fake.fill(log, served)
    shown = iter([one.asked.decision_id for one in served if one.chosen_arm != NONE])
    first = started(tmp_path)
    try:
        until(lambda: files.current(posterior, "1") is not None)
        second = started(tmp_path)
        said, _ = second.communicate(timeout=60)
        assert second.returncode == BUSY, said
        assert json.loads(said.splitlines()[-1])["event"] == "busy"
        until(lambda: (status := learner_status.read(posterior)) is not None and status.model_version == "1")

        def seconds():
            number = files.current(posterior, "1") + 1
            fake.tell(log, (next(shown), OutcomeKind.CLICK, at))
            return until(lambda: files.current(posterior, "1") == number)

        assert soonest(seconds, 1.0) < 1.0
        number = files.current(posterior, "1")
        shutil.rmtree(posterior.rename(tmp_path / "aside"))  # at once: the learner writes its status all the while
        until(lambda: files.published(posterior, "1", number))
        second = started(tmp_path)
        said, _ = second.communicate(timeout=60)
        assert second.returncode == BUSY, said
    finally:
        first.send_signal(signal.SIGTERM)
        said, _ = first.communicate(timeout=60)
    assert first.returncode == 0, said
    events = [json.loads(line)["event"] for line in said.splitlines()]
    assert (events[0], events[-1]) == ("started", "stopped")
    assert events.count("trouble") == events.count("recovered"), said  # it may be writing at the moment when the folder goes
