"""Prometheus metrics of one worker; several workers add up through files (`PROMETHEUS_MULTIPROC_DIR`, which the supervisor sets before they start)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, multiprocess

from serving.archive import still
from serving.beat import Beat
from serving.decide import Scoring, World
from serving.logs import say
from serving.tallies import Counts, Spread
from training.domain.assignment import Group
from training.domain.served import FALLBACK, Served

SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
NATS = (0.01, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
EVERY = 1.0
"""Seconds between two writings of what is counted, and the most that a killed worker forgets."""
LEAST = np.finfo(np.float64).tiny
"""In the place of a probability of 0, whose part of the entropy is 0 so."""
HOURS = (1, 6, 12, 18, 24, 30, 36, 48, 72, 168)


class Metrics:
    """Counts what a worker does. One instance a process, since the library names each metric once; `registry` is for tests."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        where = registry if registry is not None else CollectorRegistry()
        self._registry = where
        self._parts = Histogram("rightmatch_stage_seconds", "Time of one stage of a batch of decisions", ["stage"], buckets=SECONDS, registry=where)
        self._requests = Histogram("rightmatch_request_seconds", "Time of one request", ["operation", "status"], buckets=SECONDS, registry=where)
        self._decisions = Counter("rightmatch_decisions_total", "Decisions", ["reason", "group"], registry=where)
        self._arms = Counter("rightmatch_arm_total", "Decisions by the arm that was chosen", ["arm"], registry=where)
        self._fallbacks = Counter("rightmatch_fallbacks_total", "Decisions that nobody could take", ["reason"], registry=where)
        self._entropy = Histogram("rightmatch_propensity_entropy_nats", "Entropy of the propensities of a decision", buckets=NATS, registry=where)
        self._age = Histogram("rightmatch_feature_age_hours", "Age of the member's features", buckets=HOURS, registry=where)
        self._outcomes = Counter("rightmatch_outcomes_total", "Outcomes", ["kind", "receipt"], registry=where)
        self._trouble = Counter("rightmatch_trouble_total", "Failures that were answered safely", ["part"], registry=where)
        gauge = partial(Gauge, registry=where, multiprocess_mode="livemin")
        self._models = gauge("rightmatch_model_version", "Version that decides for a group; 0 without one", ["group"])
        self._posteriors = gauge("rightmatch_posterior_version", "Version of its posterior", ["group"])
        self._stages = gauge("rightmatch_experiment_stages", "Stages of the running experiment that were decided on; 0 without one")
        lag = "Age of the oldest outcome that the learner has not applied, NaN where nobody knows"
        self._lag = Gauge("rightmatch_posterior_lag_seconds", lag, registry=where, multiprocess_mode="mostrecent")
        self._by_reason, self._by_arm, self._entropies, self._ages = Counts(self._decisions), Counts(self._arms), Spread(self._entropy), Spread(self._age)
        self._known_stages = {name: Spread(self._parts.labels(name)) for name in ("queue", "features", "state", "decide", "log", "turn", "sync")}
        self._known_requests: dict[tuple[str, int], Spread] = {}
        beat = Beat("metrics", EVERY, self.flush)  # for whoever asks another worker
        self.start, self.stop = beat.start, beat.stop

    def flush(self) -> None:
        """Write what was counted."""
        tallies: list[Counts | Spread] = [self._by_reason, self._by_arm, self._entropies, self._ages]
        for tally in (*tallies, *self._known_stages.values(), *list(self._known_requests.values())):
            tally.flush()

    def stage(self, name: str, seconds: float) -> None:
        """Time of one stage."""
        self._known_stages[name].observe(seconds)

    def request(self, operation: str, status: int, seconds: float) -> None:
        """Time of one request; from the loop alone."""
        found = self._known_requests.get((operation, status))
        if found is None:
            found = self._known_requests[operation, status] = Spread(self._requests.labels(operation, str(status)))
        found.observe(seconds)

    def decided(self, served: Served) -> None:
        """One decision that is durable."""
        self._by_reason.add(served.reason.value, served.group)
        self._by_arm.add(served.chosen_arm)
        if served.features_at is not None:  # also where they were too old to decide on
            self._ages.observe(hours(served.asked.at, served.features_at))
        if served.group == FALLBACK:
            self._fallbacks.labels(served.reason.value).inc()
            return
        self._entropies.observe(-float(served.p @ np.log(np.maximum(served.p, LEAST))))

    def outcomes(self, kinds: Sequence[str], receipts: Sequence[str]) -> None:
        """What became of each outcome."""
        for kind, receipt in zip(kinds, receipts, strict=True):
            self._outcomes.labels(kind, receipt).inc()

    def trouble(self, part: str, error: BaseException, **about: str) -> None:
        """A failure that was answered safely; `about` are the names of what it befell."""
        self._trouble.labels(part).inc()
        say("trouble", part=part, error=f"{type(error).__name__}: {error}", **about)

    def shown(self, world: World) -> None:
        """Who decides for whom from here on."""
        groups = world.groups
        for group, model in ((Group.CHAMPION, world.champion), (Group.CHALLENGER, groups.challenger), (Group.HOLDBACK, groups.holdback)):
            self._models.labels(group.value).set(_number(model))
            self._posteriors.labels(group.value).set(model.posterior if model else 0)
        self._stages.set(len(groups.split.stages))

    def lag(self, seconds: float) -> None:
        """How far the learner is behind."""
        self._lag.set(seconds)

    def text(self) -> bytes:
        """In Prometheus' text format, over all workers where there are several. From any thread: the loop would stand still for as long as it takes."""
        self.flush()
        if folder := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            whole = CollectorRegistry()
            multiprocess.MultiProcessCollector(whole)  # type: ignore[no-untyped-call]
            with still(Path(folder)):
                return generate_latest(whole)
        return generate_latest(self._registry)


def _number(model: Scoring | None) -> float:
    return float(model.version) if model and model.version.isdecimal() else 0.0


def hours(now: datetime, then: datetime) -> float:
    """Hours from `then` to `now`."""
    return (now - then).total_seconds() / 3600.0
