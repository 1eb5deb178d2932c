"""`rightmatch decide` on a real, small feature store and registry, with a champion that was trained on known effects."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from tests.fakes.features import feature_row, write_mart
from tests.fakes.training_frame import training_frame
from training.adapters.feast_store import FeastStore
from training.adapters.registry import MlflowRegistry
from training.cli.decide import decide
from training.config.settings import Settings, TrainingSettings
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError
from training.domain.nouns import Surface
from training.domain.schema import ARM_FEATURES, MEMBER_FEATURES
from training.model.fit import fit

MIDNIGHT = datetime(2026, 3, 10, tzinfo=UTC)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty home that the settings point to."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    return tmp_path


def test_decide_with_a_champion(home, capsys):
    """One JSON object whose propensities are a distribution over the feasible arms; the same seed decides the same, a table shows it."""
    settings = Settings(home=home)
    write_mart(settings.marts, MEMBER_FEATURES, [feature_row(MIDNIGHT, member_id="m1", industry="tech", consents="email,push")])
    write_mart(settings.marts, ARM_FEATURES, [feature_row(MIDNIGHT, arm_id="none", impressions_28d=5.0)])
    store, catalog = FeastStore(settings), load_catalog(settings.catalog)
    store.apply()
    store.materialize(MIDNIGHT)
    fit(training_frame(catalog, 2000), catalog, TrainingSettings(width=16, epochs=1, batch=256), 7, print).save(home / "model")
    registry = MlflowRegistry(settings)
    registry.point("champion", registry.register(home / "model", {"run_id": "2026-03-09"}))
    capsys.readouterr()

    assert decide("m1", "outbound", 3, as_json=True) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["member_id"], answer["surface"], answer["model_version"], answer["seed"]) == ("m1", "outbound", "1", 3)
    assert list(answer["propensities"]) == catalog.feasible(Surface.OUTBOUND, ["email", "push"])
    assert sum(answer["propensities"].values()) == pytest.approx(1)
    assert answer["propensity"] == answer["propensities"][answer["chosen_arm"]] > 0
    assert "no consent for sms" in answer["excluded"].values()
    assert not answer["excluded"].keys() & answer["propensities"].keys()

    assert decide("m1", "outbound", 3, as_json=True) == 0
    assert json.loads(capsys.readouterr().out) == answer

    assert decide("m1", "outbound", None, as_json=False) == 0
    shown = capsys.readouterr().out
    assert "propensity" in shown
    assert "model version 1" in shown

    assert decide("m2", "web", 3, as_json=True) == 1
    streams = capsys.readouterr()
    refusal = json.loads(streams.out)
    assert refusal.pop("error") in streams.err
    assert refusal == {"member_id": "m2", "surface": "web", "champion": "1", "found": False}
    assert "'m2' is not in the online store" in streams.err


def test_decide_without_a_champion(home, capsys):
    """Exit code 1 and a reason on standard error; a program reads one object, a person nothing twice."""
    assert decide("m1", "web", 3, as_json=True) == 1
    streams = capsys.readouterr()
    refusal = json.loads(streams.out)
    assert "no champion yet" in streams.err
    assert refusal.pop("error") in streams.err
    assert refusal == {"member_id": "m1", "surface": "web", "champion": None, "found": None}
    assert decide("m1", "web", 3, as_json=False) == 1
    assert capsys.readouterr().out == ""


def test_an_unknown_surface_names_the_known_ones(home):
    """Before anything is loaded."""
    with pytest.raises(ConfigError, match="web, app, outbound"):
        decide("m1", "fax", 3, as_json=True)
