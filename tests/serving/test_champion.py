"""What a worker watches: the kill switch is known whatever else hangs, or nothing is shown."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from time import monotonic

import pytest

from serving import pauses
from serving.champion import Outside, Watch
from tests.serving.conftest import soonest, wait
from training.adapters.decision_log import DecisionLog
from training.adapters.experiments import SqlExperiments
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.errors import LogError


class Registry:
    """Without a champion; when all aliases have been looked at once it hangs until `gate` is open."""

    def __init__(self):
        self.gate, self.looks = threading.Event(), 0

    def peek(self, alias):
        self.looks += 1
        if self.looks > 3:
            self.gate.wait(60)


class Log(DecisionLog):
    """Reading pauses fails or hangs when told to."""

    fails, gate = False, None

    def paused(self):
        if self.gate:
            self.gate.wait(60)
        if self.fails:
            raise LogError("the disk is gone")
        return super().paused()


@pytest.fixture(name="watch")
def _watch(tmp_path):
    """Running threads over a real log, with its registry."""
    settings, registry = Settings(home=tmp_path), Registry()
    log = Log(settings.log_url)
    watch = Watch(Outside(registry, SqlExperiments(settings.ledger_url), None, log, lambda: datetime.now(UTC), lambda *_: None), settings)
    watch.start()
    yield watch, log, registry
    registry.gate.set()
    watch.stop()
    log.engine.dispose()


def test_a_registry_that_hangs_delays_no_pause(watch):
    """An arm that is paused meanwhile is known to be within a second."""
    watching, log, registry = watch
    wait(lambda: registry.looks > 3)
    arms = iter(load_catalog(Settings().catalog).arms)

    def seconds():
        arm = next(arms)
        log.pause(arm, datetime.now(UTC))
        return wait(lambda: arm in (watching.world.paused or ()))

    assert soonest(seconds, 1.0) < 1.0
    assert not registry.gate.is_set()


def test_pauses_that_cannot_be_read_are_not_known(watch, monkeypatch):
    """At once where reading fails, and after a while where it hangs; then again as soon as it is answered."""
    monkeypatch.setattr(pauses, "UNSEEN", 0.5)
    watching, log, _ = watch
    wait(lambda: watching.world.paused == frozenset())
    log.fails = True
    wait(lambda: watching.world.paused is None)
    wait(lambda: "pauses" in watching.troubles)
    log.fails = False
    wait(lambda: watching.world.paused == frozenset())
    log.gate = threading.Event()
    wait(lambda: watching.world.paused is None)
    log.gate.set()
    wait(lambda: watching.world.paused == frozenset())


def test_what_a_model_is_loaded_for_is_looked_at_at_once(watch, monkeypatch):
    """Not when the next look would be due anyway."""
    watching, _, registry = watch
    registry.gate.set()
    monkeypatch.setattr("serving.champion.ROLES_EVERY", 600.0)
    watching._again()
    wait(lambda: watching._next["champion"] > monotonic() + 500)  # it waits for so long from here on
    before = registry.looks
    watching._again()
    wait(lambda: registry.looks > before)
