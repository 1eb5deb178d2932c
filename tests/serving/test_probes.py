"""What the probes say: of a learner that has gone, of who decides, of features that are too old."""

from __future__ import annotations

import asyncio
import json
import os
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry

from serving import learner_status, probes
from serving.learner_status import STATUS, Status, behind
from serving.metrics import Metrics
from tests.fakes.logs import served
from training.config.settings import Settings
from training.domain.served import FALLBACK, Reason

AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def test_a_learner_that_says_nothing_any_more_falls_behind(tmp_path):
    """Its last words were that nothing waits."""
    assert behind(tmp_path, AT) is None
    learner_status.write(tmp_path, Status(AT.isoformat(), "1", 3, {"1": 3}, 0.5, 0, 0, 0, 0, 0, ""))
    os.utime(tmp_path / STATUS, (AT.timestamp() - 100, AT.timestamp() - 100))
    assert behind(tmp_path, AT) == 100.5


def core(model=None, without="none", newest=None, hangs=(), unnamed=False, **troubles):
    """What readiness is read from; `hangs` are the parts for which the log hangs."""
    watch = SimpleNamespace(champion=model, troubles=troubles, newest=newest, running=None, unnamed=unnamed, world=SimpleNamespace(groups=None))
    settings = Settings(serving={"without_champion": without, "features_max_age_hours": 24})
    parts = {part: SimpleNamespace(hangs=part in hangs) for part in ("decider", "ingest")}
    return SimpleNamespace(watch=watch, lookup=SimpleNamespace(open=False), settings=settings, now=lambda: AT, **parts)


CHAMPION = SimpleNamespace(version="3", posterior=1)
FRESH, OLD = AT - timedelta(hours=23), AT - timedelta(hours=25)


@pytest.mark.parametrize(
    ("of", "status", "troubles"),
    [
        (core(CHAMPION, newest=FRESH), 200, set()),
        (core(CHAMPION), 200, set()),
        (core(newest=FRESH), 503, {"champion"}),
        (core(without="uniform", newest=FRESH), 200, {"champion"}),
        (core(without="uniform", newest=FRESH, champion="1: damaged"), 503, {"champion"}),
        (core(CHAMPION, newest=OLD), 503, {"features"}),
        (core(without="uniform", newest=OLD), 503, {"champion", "features"}),
        (core(CHAMPION, newest=FRESH, challenger="1: gone"), 200, {"challenger"}),
        (core(CHAMPION, newest=FRESH, unnamed=True), 200, {"learner"}),
        (core(newest=FRESH, unnamed=True), 503, {"champion"}),
        (core(CHAMPION, newest=FRESH, store="down"), 503, {"store"}),
        (core(CHAMPION, newest=FRESH, hangs=["decider"]), 503, {"log"}),
        (core(CHAMPION, newest=FRESH, hangs=["ingest"]), 503, {"log"}),
    ],
)
def test_ready_is_who_decides_for_real(of, status, troubles):
    """A log that is gathered by letting every arm win alike is meant; the safe default, be it for want of a champion or of features, is not."""
    answer = asyncio.run(probes.readyz(of, None))
    assert (answer.status_code, set(json.loads(answer.body)["troubles"])) == (status, troubles)


def test_a_worker_that_starts_without_the_champion_of_before_is_not_ready(tmp_path):
    """Nobody meant to let every arm win alike again; in a home that never had one it is meant."""
    of = core(without="uniform", newest=FRESH, unnamed=True)
    of.settings = of.settings.model_copy(update={"home": tmp_path})
    assert asyncio.run(probes.readyz(of, None)).status_code == 200
    learner_status.write(of.settings.posterior, Status(AT.isoformat(), "7", 3, {"7": 3}, None, 0, 0, 0, 0, 0, ""))
    answer = asyncio.run(probes.readyz(of, None))
    assert (answer.status_code, "version 7 was" in json.loads(answer.body)["troubles"]["champion"]) == (503, True)


def test_features_that_are_too_old_are_counted_by_their_age():
    """Whoever watches it must see what nobody decides on."""
    registry = CollectorRegistry()
    counted = Metrics(registry)
    counted.decided(served("1", group=FALLBACK, reason=Reason.STALE_FEATURES, features_at=served("1").asked.at - timedelta(hours=100)))
    counted.flush()
    assert registry.get_sample_value("rightmatch_feature_age_hours_sum") == 100.0
    assert registry.get_sample_value("rightmatch_fallbacks_total", {"reason": "stale_features"}) == 1.0
