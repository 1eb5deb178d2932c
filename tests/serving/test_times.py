"""Slow decisions are counted once, whatever the log does meanwhile."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone

import pytest

from serving.times import Times
from tests.fakes.logs import served
from training.adapters import service_times
from training.adapters.decision_log import DecisionLog
from training.adapters.service_times import slow
from training.config.settings import Settings
from training.domain.errors import LogError

DAY = date(2026, 3, 2)


@pytest.fixture(name="parts")
def _parts(tmp_path):
    """Settings, a log and a counter by whose limit 20 ms are slow."""
    settings = Settings(home=tmp_path)
    log = DecisionLog(settings.log_url)
    yield settings, Times(log, 0.02)
    log.engine.dispose()


def test_beyond_the_limit_is_slow_and_each_decision_counts_for_its_group_and_utc_day(parts):
    """At the limit it is not; adding twice adds what came in between."""
    settings, times = parts
    for seconds in (0.001, 0.02, 0.0201, 3.0):
        times.count(served("a"), seconds)
    times.count(served("b", at=datetime(2026, 3, 3, 3, tzinfo=timezone(timedelta(hours=9)))), 1.0)
    times.flush()
    times.count(served("c", group="challenger", model_version="2"), 1.0)
    times.flush()
    times.flush()
    assert slow(settings, DAY, DAY) == {"champion": {DAY: (3, 5)}, "challenger": {DAY: (1, 1)}}
    assert slow(settings, DAY + timedelta(1), DAY + timedelta(1)) == {}


def test_what_the_log_refuses_is_added_later(parts, monkeypatch, capsys):
    """Said once; the end of the thread adds the rest."""
    settings, times = parts

    def refuses(*_):
        raise LogError("the disk is gone")

    with monkeypatch.context() as patch:
        patch.setattr(service_times, "add", refuses)
        for _ in range(3):
            times.count(served("a"), 1.0)
            times.flush()
    assert capsys.readouterr().err.count("the disk is gone") == 1
    times.start()
    times.count(served("a"), 0.0)
    times.stop()
    assert slow(settings, DAY, DAY) == {"champion": {DAY: (3, 4)}}
