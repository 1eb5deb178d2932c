"""The train step on a synthetic training set and the fake registry."""

from __future__ import annotations

import json
from datetime import date
from typing import Any, cast

import pytest

from tests.fakes.registry import FakeRegistry
from tests.fakes.training_frame import training_frame
from training.adapters.ports import Platform
from training.config.settings import Settings, TrainingSettings
from training.domain.catalog import load_catalog
from training.domain.errors import DataError, NotReadyError
from training.model.matching import MatchingModel
from training.model.split import is_holdout
from training.steps import train

DAY = date(2026, 2, 1)


@pytest.fixture
def settings(tmp_path):
    """A small network; the catalog is the simulated one."""
    return Settings(home=tmp_path, training=TrainingSettings(width=16, epochs=1, batch=256))


@pytest.fixture
def platform(tmp_path):
    """A platform of which this step uses the registry only."""
    nothing = cast("Any", None)
    return Platform(nothing, nothing, nothing, nothing, FakeRegistry(tmp_path / "registry"), nothing, nothing)


@pytest.fixture
def frame(settings):
    """The training set of the day, written where `training_set` writes it."""
    made = training_frame(load_catalog(settings.catalog), 3000)
    folder = settings.run_dir(DAY.isoformat())
    folder.mkdir(parents=True)
    made.to_parquet(folder / "training_set.parquet")
    return made


def test_train_registers_a_challenger_and_a_rerun_changes_nothing(settings, platform, frame, capsys):
    """The folder, the registry's copy and the alias; the second run gives the same bytes and the same version."""
    report = train.run(DAY, settings, platform)
    assert platform.registry.version("challenger") == report.version == "1"
    assert platform.registry.version("champion") is None
    held = is_holdout(frame["member_id"], settings.training.holdout)
    assert (report.rows, report.holdout_rows) == ((~held).sum(), held.sum())
    assert report.errors.keys() == {"clicked", "converted", "visited", "retained", "opted_out"}
    assert all(0 <= e < 0.2 for e in report.errors.values())
    assert "calibration error" in capsys.readouterr().out

    manifest = json.loads((report.path / "manifest.json").read_text())
    assert (manifest["run_id"], manifest["rows"], manifest["holdout"]["rows"]) == ("2026-02-01", report.rows, report.holdout_rows)
    assert manifest["as_of"] == "2026-02-02T00:00:00+00:00"
    assert {c["label"] for c in manifest["calibration"]} == report.errors.keys()

    bytes_before = {p.name: p.read_bytes() for p in report.path.iterdir()}
    again = train.run(DAY, settings, platform)
    assert again.version == "1"
    assert {p.name: p.read_bytes() for p in again.path.iterdir()} == bytes_before
    assert {p.name: p.read_bytes() for p in platform.registry.fetch("1").iterdir()} == bytes_before


def test_held_out_members_teach_nothing(settings, platform, frame):
    """Other answers of the held-out members leave every weight as it was."""
    before = (train.run(DAY, settings, platform).path / "model.safetensors").read_bytes()
    held = is_holdout(frame["member_id"], settings.training.holdout)
    frame.loc[held, "clicked"] = True
    frame.to_parquet(settings.run_dir(DAY.isoformat()) / "training_set.parquet")
    assert (train.run(DAY, settings, platform).path / "model.safetensors").read_bytes() == before


def test_a_rerun_on_other_rows_leaves_the_champion_as_it_was_judged(settings, platform, frame):
    """Late answers give other weights, and these a version of their own: what members meet is what was judged."""
    train.run(DAY, settings, platform)
    platform.registry.point("champion", "1")
    before = {p.name: p.read_bytes() for p in platform.registry.fetch("1").iterdir()}
    frame.assign(clicked=True).head(2500).to_parquet(settings.run_dir(DAY.isoformat()) / "training_set.parquet")
    assert train.run(DAY, settings, platform).version == "2"
    assert (platform.registry.version("champion"), platform.registry.version("challenger")) == ("1", "2")
    assert {p.name: p.read_bytes() for p in platform.registry.fetch("1").iterdir()} == before


def test_a_saved_challenger_can_be_loaded(settings, platform, frame):
    """The registry's folder is a whole model."""
    version = train.run(DAY, settings, platform).version
    model = MatchingModel.load(platform.registry.fetch(version))
    assert len(model.predict(frame.head(5), load_catalog(settings.catalog))) == 5


def test_train_before_training_set_says_so(settings, platform):
    """Nothing is registered."""
    with pytest.raises(NotReadyError, match="Run `training_set`"):
        train.run(DAY, settings, platform)
    assert platform.registry.version("challenger") is None


def test_train_on_immature_labels_says_so(settings, platform, frame):
    """A log too young to learn from."""
    for label in ("clicked", "converted", "visited", "retained", "opted_out"):
        frame[label] = None
    frame.to_parquet(settings.run_dir(DAY.isoformat()) / "training_set.parquet")
    with pytest.raises(NotReadyError, match="nothing to learn yet"):
        train.run(DAY, settings, platform)


def test_only_what_training_needs_is_read(settings, frame):
    """Repeated texts as categories with the same values, no lists; and in memory far less than the whole set."""
    path = settings.run_dir(DAY.isoformat()) / "training_set.parquet"
    found = train.read(path)
    assert "feasible_arms" not in found
    assert {str(found[name].dtype) for name in ("arm_id", "surface", "industry", "member_id")} == {"category"}
    assert all((found[name].astype(object) == frame[name].astype(object))[frame[name].notna()].all() for name in found)
    assert found.memory_usage(deep=True).sum() < frame.memory_usage(deep=True).sum() / 2


def test_a_column_that_is_not_there_is_named(settings, platform, frame):
    """Not read, and then missed."""
    frame.drop(columns="industry").to_parquet(settings.run_dir(DAY.isoformat()) / "training_set.parquet")
    with pytest.raises(DataError, match="lacks industry"):
        train.run(DAY, settings, platform)
