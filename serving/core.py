"""One worker's parts, wired: what is decided with, kept in, and learned from."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from serving import clock
from serving.auth import Guard
from serving.champion import Outside, Watch
from serving.chance import CHANCE
from serving.decider import Decider
from serving.features import Lookup
from serving.ingest import Ingest
from serving.metrics import Metrics
from serving.patience import Reads
from serving.rebuilding import Rebuilding
from serving.times import Times
from training.adapters.clock import wall
from training.adapters.decision_log import DecisionLog
from training.adapters.experiments import SqlExperiments
from training.adapters.log_keys import ApiKeys, RecentKeys
from training.adapters.log_sqlite import Tending
from training.adapters.ports import FeatureStore, ModelRegistry
from training.config.serving import Clock
from training.config.settings import Settings

KEYS_FOR = 0.5
"""Seconds for which the keys are trusted as they were read: a revoked one is refused within a second."""


class Core:
    """Everything that the routes use. `wall` is the clock; real parts are passed in, so tests pass others."""

    def __init__(self, settings: Settings, registry: ModelRegistry, features: FeatureStore, wall: Callable[[], datetime] = wall) -> None:
        self.settings, self.wall = settings, wall
        self.log = DecisionLog(settings.log_url)
        self.tending = Tending(self.log.engine)
        self.metrics = Metrics()
        self.patience = settings.serving.log_budget_ms / 1e3
        """Seconds that anybody waits for the log."""
        self.reads = Reads("reads", self.patience)
        """Of the log, for whoever does not decide."""
        self.guard = Guard(RecentKeys(ApiKeys(self.log.engine), KEYS_FOR), settings.serving.rate_limit, self.patience)
        self.watch = Watch(Outside(registry, SqlExperiments(settings.ledger_url), features, self.log, wall, self.metrics.shown), settings)
        self.rebuilding = Rebuilding(self.log, registry, settings, self.watch)
        self.lookup = Lookup(features, settings.serving.lookup_budget_ms / 1e3)
        self.ingest = Ingest(self.log, settings.serving.clock, self.patience, self.metrics)
        self.times = Times(self.log, settings.experiment.slow_ms / 1e3)
        self.decider = Decider(self.log, self.lookup, self.watch, self.metrics, CHANCE.uniform, self.times)
        self.failure: Exception | None = None
        """Why it could not start; uvicorn ends with a number alone."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look at the world once, then serve on `loop`."""
        try:
            self._start(loop)
        except Exception as error:
            self.failure = error
            raise

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self.metrics.start()
        self.watch.start()
        self.lookup.warm()
        self.tending.start()
        self.decider.start(loop)
        self.ingest.start(loop)
        self.times.start()

    def stop(self) -> None:
        """Answer what waits, then end all threads."""
        self.decider.stop()
        self.ingest.stop()
        self.reads.stop()
        self.rebuilding.stop()
        self.guard.stop()
        self.times.stop()
        self.watch.stop()
        self.lookup.close()
        self.tending.stop()
        self.metrics.stop()
        self.log.engine.dispose()

    def now(self, asked_at: datetime | None = None) -> datetime:
        """The instant of a request on the service's clock."""
        return clock.instant(self.settings.serving.clock, asked_at, self.watch.newest, self.wall())

    def received(self) -> datetime:
        """When outcomes arrive: now. In a world of its own whose features nobody has seen yet only the outcomes say when that is."""
        own = self.settings.serving.clock is Clock.DATA
        return clock.BEGINNING if own and self.watch.newest is None else self.now()
