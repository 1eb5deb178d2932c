"""What a worker keeps ready: each model is loaded once, follows its own posterior, and is there when an alias moves back."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime

import pytest
import torch

from serving import champion
from serving import models as kept
from serving.champion import Outside, Watch
from serving.models import Arms, Models
from tests.fakes import learning as fake
from tests.fakes.registry import FakeRegistry
from tests.serving.conftest import wait
from training.adapters import posterior_files
from training.adapters.decision_log import DecisionLog
from training.adapters.experiments import SqlExperiments
from training.config.settings import Settings
from training.domain.errors import DataError, NotReadyError

AT = datetime(2026, 3, 10, tzinfo=UTC)


class Counting(FakeRegistry):
    """Remembers which versions were read."""

    def __init__(self, home):
        super().__init__(home)
        self.fetched = []

    def fetch(self, version):
        self.fetched.append(version)
        return super().fetch(version)


class Store:
    """The arms' features; reading them fails when told to."""

    fails = False

    def online_arms(self, arm_ids):
        if self.fails:
            raise NotReadyError("the store is down")
        return [{"impressions_28d": 10.0, "event_timestamp": AT} for _ in arm_ids]


@pytest.fixture(name="parts")
def _parts(tmp_path):
    """A registry of three versions of one small model, a store, a log, and settings in which nobody is held back."""
    torch.set_num_threads(1)
    settings, registry = Settings(home=tmp_path, experiment={"holdback": 0, "control": 0}), Counting(tmp_path / "registry")
    fake.model().save(tmp_path / "trained")
    for run in ("a", "b", "c"):
        registry.register(tmp_path / "trained", {"run_id": run})
    log = DecisionLog(settings.log_url)
    yield settings, registry, Store(), log
    log.engine.dispose()


@pytest.fixture(name="models")
def _models(parts):
    """Nothing is loaded yet."""
    settings, registry, store, log = parts
    return Models(registry, settings, fake.catalog(), Arms(store, log, fake.catalog(), lambda: AT))


def load(models, version):
    """Have it ready, or raise why it cannot be."""
    models.want(version)
    models.wait(60.0)
    assert models.want(version)


def test_a_version_is_loaded_once_and_forgotten_when_nobody_needs_it(models, parts):
    """However often it is named."""
    _, registry, _, _ = parts
    for version in ("1", "2", "1"):
        load(models, version)
    assert registry.fetched == ["1", "2"]
    models.keep(["2"])
    assert (models.get("1"), models.get(None)) == (None, None)
    assert models.get("2").version == "2"


def test_what_cannot_be_loaded_is_tried_again_after_a_while_alone(models, parts, monkeypatch):
    """Else a worker would read a damaged model twice a second; a disk that was full heals by itself."""
    _, registry, store, _ = parts
    store.fails = True
    for _ in range(3):
        with pytest.raises(NotReadyError, match="1: the store is down"):
            load(models, "1")
    store.fails = False
    with pytest.raises(NotReadyError, match="1: the store is down"):
        load(models, "1")
    monkeypatch.setattr(kept, "monotonic", lambda: 1e12)
    with pytest.raises(NotReadyError, match="1: the store is down"):
        models.want("1")
    models.wait(60.0)
    assert models.want("1")
    assert registry.fetched == ["1"]


def test_each_version_follows_its_own_posterior(models, parts):
    """One a look, in turn. A pointer that cannot be read keeps its own model where it is, and no other; it is told when all have been looked at."""
    settings, *_ = parts
    for version in ("1", "2", "3"):
        load(models, version)
    for version, posterior in (("1", 4), ("2", 7)):
        posterior_files.publish(settings.posterior, version, posterior, fake.model().heads)
    models.follow()
    assert sum(models.get(version).posterior == 0 for version in ("1", "2", "3")) == 2
    models.follow()
    assert [models.get(version).posterior for version in ("1", "2", "3")] == [4, 7, 0]
    posterior_files.publish(settings.posterior, "2", 8, fake.model().heads)
    (settings.posterior / "1" / posterior_files.POINTER).write_text("{")
    with pytest.raises(DataError, match="newest posterior of model 1"):
        models.follow()
    assert [models.get(version).posterior for version in ("1", "2", "3")] == [4, 8, 0]
    models.keep([])
    models.keep(["2"])
    load(models, "2")
    assert models.get("2").posterior == 8


def test_moving_the_alias_back_loads_nothing(parts):
    """The version before is ready, under its newest posterior, although the store is down and its folder is gone."""
    settings, registry, store, log = parts
    for alias, version in (("champion", "2"), ("previous", "1")):
        registry.point(alias, version)
    posterior_files.publish(settings.posterior, "1", 5, fake.model().heads)
    shown = []
    watch = Watch(Outside(registry, SqlExperiments(settings.ledger_url), store, log, lambda: AT, shown.append), settings)
    watch.look()
    assert watch.champion.version == "2"
    store.fails = True
    registry.aliases["champion"], registry.fetched = "1", []
    watch._next.clear()
    watch.look()
    assert (watch.world.champion.version, watch.world.champion.posterior, registry.fetched) == ("1", 5, [])
    assert shown[-1].champion.version == "1"
    assert watch.troubles.keys() == {"arms"}


def test_a_model_that_is_never_read_keeps_no_worker_from_serving(parts, monkeypatch):
    """The champion's folder does not answer: the first look ends all the same, the safe default decides, and why is said; once it is read, it decides."""
    settings, registry, store, log = parts
    registry.point("champion", "2")
    monkeypatch.setattr(kept, "LATE", 0.1)
    monkeypatch.setattr(champion, "START", 0.5)
    gate, fetch = threading.Event(), registry.fetch
    monkeypatch.setattr(registry, "fetch", lambda version: gate.wait(60) and fetch(version))
    watch = Watch(Outside(registry, SqlExperiments(settings.ledger_url), store, log, lambda: AT, lambda _: None), settings)
    watch.look()
    assert watch.champion is None
    watch._next.clear()
    watch._look_at_roles()
    assert "2: reading it takes more than" in watch.troubles["champion"]
    gate.set()
    watch._models.wait(60.0)
    watch._next.clear()
    watch.look()
    assert watch.champion.version == "2"
    assert watch.troubles == {}


def test_a_model_that_is_read_slowly_delays_no_roll_back(parts, monkeypatch):
    """While the file system does not answer for version 3, version 1, which nobody had loaded, is in charge within a second of its alias; 3 is said to be
    late, and decides as soon as it is read. Its pointer is a pipe that nobody writes to: whoever opens it waits, as on a network that hangs.
    """
    settings, registry, store, log = parts
    registry.point("champion", "2")
    monkeypatch.setattr(kept, "LATE", 0.5)
    pipe = settings.posterior / "3" / posterior_files.POINTER
    pipe.parent.mkdir(parents=True)
    os.mkfifo(pipe)
    watch = Watch(Outside(registry, SqlExperiments(settings.ledger_url), store, log, lambda: AT, lambda _: None), settings)
    watch.start()
    try:
        registry.point("anchor", "3")
        wait(lambda: "anchor" in watch.troubles)
        assert (watch.champion.version, watch.world.groups.holdback) == ("2", None)
        assert watch.troubles["anchor"] == "NotReadyError: 3: reading it takes more than 0 s"
        used, moved = time.process_time(), time.monotonic()
        registry.point("champion", "1")
        wait(lambda: watch.world.champion.version == "1")
        assert min(time.process_time() - used, time.monotonic() - moved) < 1.0
        assert "anchor" in watch.troubles
        with pipe.open("w") as answer:
            pipe.unlink()
            answer.write('{"posterior": 0}')
        wait(lambda: watch.world.groups.holdback is not None)
        wait(lambda: not watch.troubles)
    finally:
        watch.stop()
