"""The benchmark of a decision in process times two ways to the same probabilities."""

import numpy as np
import pytest

from bench.serving import inprocess
from tests.fakes.training_frame import training_frame
from training.config.settings import Settings, TextChoice, TrainingSettings
from training.domain.catalog import load_catalog
from training.model.compiled import Compiled
from training.model.fit import fit


@pytest.fixture(scope="module")
def ready(tmp_path_factory):
    """A small champion over the simulated catalog."""
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    catalog = load_catalog(settings.catalog)
    training = TrainingSettings(width=16, epochs=1, batch=256, text_encoder=TextChoice.HASHED)
    settings = settings.model_copy(update={"exploration": settings.exploration.model_copy(update={"draws": 16})})
    return Compiled.build(fit(training_frame(catalog, 2_000), catalog, training, 7, str), catalog, settings, "1")


def test_both_ways_give_the_same_probabilities(ready):
    """Otherwise their times could not be compared; a draw whose best two arms are within rounding may differ."""
    for features, context in list(inprocess._members(ready, np.random.default_rng(1)))[:10]:
        ours = ready.score(features, context, range(len(ready.arm_ids))).p
        theirs = inprocess._by_layers(ready, features, context)[0].numpy()
        assert np.abs(ours - theirs).sum() <= 2 / 16


def test_every_way_is_timed(ready, monkeypatch):
    """In turn, and the parts make up the whole."""
    monkeypatch.setattr(inprocess, "ROUNDS", 2)
    monkeypatch.setattr(inprocess, "TIMES", 3)
    found = inprocess._timed(ready, 1)
    assert (found["arms"], found["draws"]) == (48, 16)
    assert found["ratio"] == pytest.approx(found["layer_by_layer_p50_ms"] / found["p50_ms"], rel=0.1)
    assert sum(found["of_which_ms"].values()) == pytest.approx(found["p50_ms"], abs=1e-3)
    assert min(found["anew_least_ms"].values()) > 0
