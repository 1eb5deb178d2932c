"""Feast's definitions say what the schema says."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.fakes.features import write_mart
from training.config.settings import ROOT
from training.domain.schema import ARM_FEATURES, ARM_NUMERIC, FEATURE_SERVICE, MEMBER_CATEGORICAL, MEMBER_FEATURES, MEMBER_NUMERIC


@pytest.fixture(scope="module")
def defined():
    """The definitions over a folder that does not exist: defining reads nothing."""
    from training.adapters.feast_config import load_definitions

    return load_definitions().define(Path("/nowhere"), timedelta(days=3))


def test_features_are_those_of_the_schema(defined):
    """Names and types of both views; keys and times are no features."""
    members = {f.name: str(f.dtype) for f in defined.member_features.features}
    assert members == dict.fromkeys((*MEMBER_CATEGORICAL, "consents"), "String") | dict.fromkeys(MEMBER_NUMERIC, "Float64")
    arms = {f.name: str(f.dtype) for f in defined.arm_features.features}
    assert arms == dict.fromkeys(("product_id", "creative_id", "channel_id"), "String") | dict.fromkeys(ARM_NUMERIC, "Float64")


def test_keys_times_and_ttl(defined):
    """The join keys are the schema's; both times are declared, or late rows would leak."""
    for view, table in ((defined.member_features, MEMBER_FEATURES), (defined.arm_features, ARM_FEATURES)):
        assert view.name == table.name
        assert [c.name for c in view.entity_columns] == [table.key[0]]
        assert view.batch_source.timestamp_field == table.time
        assert view.batch_source.created_timestamp_column == "created_timestamp"
        assert view.ttl == timedelta(days=3)


def test_the_service_holds_both_views(defined):
    """One service for the model."""
    assert defined.matching.name == FEATURE_SERVICE
    assert [p.name for p in defined.matching.feature_view_projections] == ["member_features", "arm_features"]


def test_the_store_is_safe_to_share():
    """The options that make reads during materialization work and keep keys readable."""
    options = yaml.safe_load((ROOT / "feature_repo" / "feature_store.yaml").read_text())
    assert options["registry"]["registry_type"] == "sql"
    assert options["registry"]["serve_features_while_materializing"] is True
    assert options["entity_key_serialization_version"] == 3
    assert options["materialization"]["pull_latest_features"] is True


def test_the_feast_command_works_on_the_repo(tmp_path):
    """`feast apply` with two variables registers the views that our own code registers."""
    for table in (MEMBER_FEATURES, ARM_FEATURES):
        write_mart(tmp_path / "marts", table, [])
    (tmp_path / "feast").mkdir()
    command = shutil.which("feast", path=str(Path(sys.executable).parent))
    assert command is not None
    variables = {"RIGHTMATCH_FEAST": str(tmp_path / "feast"), "RIGHTMATCH_MARTS": str(tmp_path / "marts"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [command, "--chdir", str(ROOT / "feature_repo"), "apply"], env=os.environ | variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with closing(sqlite3.connect(tmp_path / "feast" / "registry.db")) as registry:
        views = {name for (name,) in registry.execute("select feature_view_name from feature_views")}
        services = [name for (name,) in registry.execute("select feature_service_name from feature_services")]
    assert views == {MEMBER_FEATURES.name, ARM_FEATURES.name}
    assert services == [FEATURE_SERVICE]
