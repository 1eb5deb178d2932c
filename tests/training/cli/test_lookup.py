"""`rightmatch lookup` on a real, small feature store."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.fakes.features import feature_row, write_mart
from training.adapters.feast_store import FeastStore
from training.cli.lookup import lookup
from training.config.settings import Settings
from training.domain.errors import NotReadyError
from training.domain.schema import ARM_FEATURES, MEMBER_FEATURES

MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home that the settings point to."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    return tmp_path


def test_lookup_of_known_and_unknown_members(home, capsys):
    """A table, one JSON object, and exit code 1 with a reason on standard error."""
    settings = Settings(home=home)
    write_mart(settings.marts, MEMBER_FEATURES, [feature_row(MIDNIGHT, member_id="m1", country="[de]", visits_7d=12.5)])
    write_mart(settings.marts, ARM_FEATURES, [])
    store = FeastStore(settings)
    store.apply()
    store.materialize(MIDNIGHT)
    capsys.readouterr()

    assert lookup("m1", as_json=False) == 0
    shown = capsys.readouterr().out
    assert "12.5" in shown
    assert "[de]" in shown
    assert "unknown" in shown

    assert lookup("m1", as_json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["member_id"], answer["visits_7d"], answer["seniority"]) == ("m1", 12.5, None)
    assert answer["event_timestamp"] == "2026-03-10T00:00:00+00:00"

    assert lookup("m2", as_json=True) == 1
    streams = capsys.readouterr()
    refusal = json.loads(streams.out)
    assert "'m2' is not in the online store" in streams.err
    assert refusal.pop("error") in streams.err
    assert refusal == {"member_id": "m2", "found": False}


def test_lookup_before_the_first_run_says_so(home):
    """Nothing is registered yet."""
    with pytest.raises(NotReadyError, match="rightmatch run"):
        lookup("m1", as_json=False)
