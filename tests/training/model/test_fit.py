"""Training learns effects that are known, repeats itself, and keeps itself whole on disk."""

import numpy as np
import pytest
import torch

from tests.fakes.training_frame import FRIENDS, HARMFUL, RATES, training_frame
from training.config.settings import TrainingSettings
from training.domain.errors import DataError, NotReadyError
from training.domain.nouns import NONE, Label
from training.model.fit import fit
from training.model.funnel import Stage
from training.model.matching import MatchingModel

SMALL = TrainingSettings(width=16, epochs=1, batch=256)


def test_known_effects_are_learned(model, catalog):
    """On new members: buyers are told from others, the harmful creative from harmless ones, and the mean prediction is the truth."""
    fresh = training_frame(catalog, 6000, seed=2, members=50_000)
    p = model.predict(fresh, catalog)
    product = fresh["arm_id"].map(lambda a: catalog.arms[a].product_id if a != NONE else "")
    harmful = fresh["arm_id"].str.contains(HARMFUL).to_numpy()
    fits = (fresh["industry"].map(FRIENDS) == product).to_numpy()
    none = (fresh["arm_id"] == NONE).to_numpy()
    assert p[Label.CONVERTED][fits].mean() == pytest.approx(RATES["friend"], abs=0.06)
    assert p[Label.CONVERTED][~fits & ~none].mean() == pytest.approx(RATES["other"], abs=0.02)
    assert p[Label.RETAINED][harmful].mean() == pytest.approx(RATES["harmed"], abs=0.1)
    assert p[Label.RETAINED][~harmful].mean() == pytest.approx(RATES["retained"], abs=0.02)


def test_same_seed_same_bytes(catalog, tmp_path):
    """Two fits are the same file; another seed is another one."""
    frame = training_frame(catalog, 1500)
    contents = []
    for i, seed in enumerate((7, 7, 8)):
        fit(frame, catalog, SMALL, seed, str).save(tmp_path / str(i))
        contents.append((tmp_path / str(i) / "model.safetensors").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_the_global_generator_does_not_matter(catalog):
    """Training draws from its own generator only."""
    frame, found = training_frame(catalog, 1500), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(fit(frame, catalog, SMALL, 7, str).heads[Stage.CLICKED].mean)
    assert torch.equal(*found)


def test_saving_round_trip(model, frame, catalog, tmp_path):
    """What is loaded predicts the same numbers; saving it again gives the same two files."""
    model.save(tmp_path / "model")
    loaded = MatchingModel.load(tmp_path / "model")
    some = frame.head(200)
    before, after = model.predict(some, catalog), loaded.predict(some, catalog)
    assert before.keys() == after.keys()
    assert all((before[label] == after[label]).all() for label in before)
    loaded.save(tmp_path / "again")
    for name in ("model.safetensors", "manifest.json"):
        assert (tmp_path / "model" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()


@pytest.mark.parametrize(("name", "content"), [("manifest.json", "{"), ("model.safetensors", "no tensors")])
def test_a_damaged_model_is_refused(model, tmp_path, name, content):
    """Half a file is not a model."""
    model.save(tmp_path)
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="cannot be read"):
        MatchingModel.load(tmp_path)


def test_no_model_is_not_ready(tmp_path):
    """A folder without a model."""
    with pytest.raises(NotReadyError, match="no model"):
        MatchingModel.load(tmp_path)


def test_an_immature_label_has_no_head(catalog):
    """A label that nobody has yet is absent from the model and from its predictions."""
    frame = training_frame(catalog, 1500)
    frame["retained"] = None
    found = fit(frame, catalog, SMALL, 7, str)
    assert not any(stage.startswith("retained") for stage in found.heads)
    assert Label.RETAINED not in found.predict(frame.head(3), catalog)


def test_missing_columns_are_named(frame, catalog):
    """Instead of learning from nothing."""
    with pytest.raises(DataError, match="lacks industry, tenure_days"):
        fit(frame.drop(columns=["industry", "tenure_days"]), catalog, SMALL, 7, str)


def test_predictions_are_per_row(model, frame, catalog):
    """A row's prediction does not depend on the rows beside it, apart from rounding."""
    day = frame[frame["day"] == frame["day"].iloc[0]]
    whole = model.predict(day, catalog)[Label.CONVERTED]
    half = model.predict(day.iloc[::-1], catalog)[Label.CONVERTED][::-1]
    assert np.allclose(whole, half, atol=1e-6)


def test_clicks_are_predicted_at_their_rate_where_nothing_cannot_be_clicked(catalog):
    """Nobody clicks on `none`, so the data leave open how rare that is; shown arms are still predicted at their own rate, within 3%."""
    frame = training_frame(catalog, 6_000)
    frame.loc[frame["arm_id"] == NONE, "clicked"] = False
    shown = frame[frame["arm_id"] != NONE].reset_index(drop=True)
    found = fit(frame, catalog, SMALL, 7, str).predict(shown, catalog)[Label.CLICKED]
    assert found.mean() == pytest.approx(shown["clicked"].astype(float).mean(), rel=0.03)
