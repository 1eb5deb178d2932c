"""The feature store benchmark: a small run end to end, and that a wrong value would be seen."""

from __future__ import annotations

import json

import pytest

from bench.features import data, measure, stores
from bench.features.command import Sizes, features

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:feast.*")


def test_a_small_run_reports_rates_sizes_and_that_all_is_equal(capsys):
    """One JSON object on standard output; every member's 30 features, their times, the key and one absent member are compared."""
    assert features(Sizes(members=150, lookups=100), as_json=True) == 0
    output = capsys.readouterr().out
    report = json.loads(output)
    assert output.count("\n") == 1
    assert (report["members"], report["features"]) == (150, 34)
    assert report["sqlite"]["equal"] == {"compared": 151 * 35 * 2, "different": 0, "first": ""}
    assert set(report["sqlite"]["materialize_rows_per_s"]) == {"stock", "ours"}
    assert report["sqlite"]["file_bytes"]["ours"] < report["sqlite"]["file_bytes"]["stock"]
    assert "skipped" in report["redis"] or report["redis"]["equal"]["different"] == 0


def test_without_stock_only_ours_is_measured(capsys):
    """For sizes at which Feast's own classes would take hours."""
    assert features(Sizes(members=150, lookups=100, stock=False), as_json=False) == 0
    output = capsys.readouterr().out
    assert "sqlite.file_bytes_per_member.ours" in output
    assert "ratio" not in output


def test_one_wrong_bit_is_seen(tmp_path):
    """Two stores of which one has -0.0 where the other has 0.0: the comparison says how many and where."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    data.write(tmp_path, 150, seed=1)
    opened = {kind: stores.sqlite(tmp_path, kind, ours=kind == "ours").feast for kind in ("stock", "ours")}
    key = EntityKey(join_keys=["member_id"], entity_values=[Value(string_val=data.member(3))])
    for kind, zero in (("stock", 0.0), ("ours", -0.0)):
        values = {name: Value() for name in data.TYPES} | {"tenure_days": Value(double_val=zero)}
        opened[kind]._get_provider().online_write_batch(opened[kind].config, opened[kind].get_feature_view(data.VIEW), [(key, values, data.NOW, None)], None)
    found = measure.compare(opened["stock"], opened["ours"], 150)
    assert (found.different, found.first) == (1, f"tenure_days of {data.member(3)}: 0.0 and -0.0")
