"""Our online store and engine give what Feast's own SQLite store and engine give, to the last bit."""

from __future__ import annotations

import struct

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureView, Field
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Int64, String
from feast.value_type import ValueType

from tests.fakes.feasts import BIG, MEMBER, OURS, ROWS, SCHEMA, STOCK, D, feast, materialize, member_view, opened, references, table
from training.adapters.feast_quiet import quiet

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:feast.*")

ASKED = ["b", "nobody", "a", "ç", "a", "a much longer name"]


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Feast's own and ours, materialized from the same table."""
    folder = tmp_path_factory.mktemp("both")
    stores = [feast(folder, "stock", STOCK, table()), feast(folder, "ours", OURS)]
    for store in stores:
        materialize(store)
    return stores


def bits(value):
    """A float as its bytes, so that -0.0, NaN and rounding differ; everything else with its type."""
    return struct.pack("<d", value) if isinstance(value, float) else (type(value), value)


def answers(stores, entities, full=False):
    """Each store's response."""
    return [store.get_online_features(references(), entities, full_feature_names=full) for store in stores]


@pytest.mark.parametrize("full", [False, True])
def test_values_and_times_are_those_of_feast(both, full):
    """Nulls, NaN, -0.0, infinities, bounds, instants before 1970, lists, an absent member, one asked for twice: names, order, values, event times."""
    stock, ours = (answer.to_dict(include_event_timestamps=True) for answer in answers(both, [{"member_id": i} for i in ASKED], full))
    assert list(ours) == list(stock)
    for name, values in stock.items():
        assert [bits(v) for v in ours[name]] == [bits(v) for v in values], name
    assert ours["m__count" if full else "count"] == [-BIG - 1, None, BIG, 0, BIG, -1]


def test_plain_types_are_read_without_protobuf_and_equal(both):
    """Without the list column the request is plain: our response carries packed rows and still equals Feast's in values and in its message."""
    plain = [name for name in references() if name != "m:tags"]
    stock, ours = (store.get_online_features(plain, [{"member_id": i} for i in ASKED]) for store in both)
    assert (type(stock).__name__, type(ours).__name__) == ("OnlineResponse", "PackedResponse")
    theirs, mine = (answer.to_dict(include_event_timestamps=True) for answer in (stock, ours))
    assert list(mine) == list(theirs)
    assert {n: [bits(v) for v in vs] for n, vs in mine.items()} == {n: [bits(v) for v in vs] for n, vs in theirs.items()}
    assert ours.proto.SerializeToString(deterministic=True) == stock.proto.SerializeToString(deterministic=True)
    pd.testing.assert_frame_equal(ours.to_df(), stock.to_df())


def test_stored_values_are_the_same_messages(both):
    """What `online_read` returns, as the bytes of Feast's `Value`."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    keys = [EntityKey(join_keys=["member_id"], entity_values=[Value(string_val=i)]) for i in ASKED]
    stock, ours = (s._get_provider().online_store.online_read(s.config, s.get_feature_view("m"), keys) for s in both)
    assert len(ours) == len(ASKED)
    for (at, theirs), (our_at, mine) in zip(stock, ours, strict=True):
        assert our_at == at
        assert (mine is None) == (theirs is None)
        assert theirs is None or {n: v.SerializeToString() for n, v in mine.items()} == {n: v.SerializeToString() for n, v in theirs.items()}


def test_columns_instead_of_rows_and_errors_are_feast_s(both):
    """Entities by column give the same; a missing join key and an unknown feature raise what Feast raises."""
    stock, ours = (store.get_online_features(references(), {"member_id": ["a", "b"]}).to_dict() for store in both)
    assert {n: [bits(v) for v in vs] for n, vs in ours.items()} == {n: [bits(v) for v in vs] for n, vs in stock.items()}
    for asked, entity in ((references(), {"other": "a"}), (["m:unheard"], {"member_id": "a"})):
        raised = []
        for store in both:
            with pytest.raises(Exception, match=".") as error:
                store.get_online_features(asked, [entity])
            raised.append((error.type, str(error.value)))
        assert raised[0] == raised[1]


def test_integers_beside_a_null_keep_all_their_bits(tmp_path):
    """Feast converts a nullable integer column through float64: 2^53 + 1 becomes 2^53. Ours keeps it."""
    rows = table(count=[2**53 + 1, None, BIG, -1])
    given = {}
    for name, options in (("stock", STOCK), ("ours", OURS)):
        store = feast(tmp_path, name, options, rows.slice(0, 2))
        materialize(store)
        given[name] = store.get_online_features(["m:count"], [{"member_id": "a"}, {"member_id": "b"}]).to_dict()["count"]
    assert given == {"stock": [2**53, None], "ours": [2**53 + 1, None]}


def test_rows_written_one_by_one_are_kept_as_they_are(both):
    """A written NaN stays NaN (only a table's NaN means null), a value of another type than declared stays of that type."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey

    key = EntityKey(join_keys=["member_id"], entity_values=[Value(string_val="w")])
    values = {name: Value() for name in SCHEMA} | {"number": Value(double_val=float("nan")), "count": Value(string_val="seven"), "seen": Value(int32_val=7)}
    read = []
    for store in both:
        provider, view = store._get_provider(), store.get_feature_view("m")
        provider.online_write_batch(store.config, view, [(key, values, D, None)], None)
        read.append(store.get_online_features(references(), [{"member_id": "w"}]).to_dict())
    assert {n: [bits(v) for v in vs] for n, vs in read[1].items()} == {n: [bits(v) for v in vs] for n, vs in read[0].items()}
    assert read[1]["count"] == ["seven"]


@pytest.mark.parametrize("stored", [pa.int64(), pa.int32()])
def test_keys_of_two_parts_and_of_integers(tmp_path, stored):
    """Text and a negative integer together, in either order of asking; an integer of another width than declared goes Feast's own way."""
    pq.write_table(table().append_column("region", pa.array([-1, 7, 2**31 - 1, 0], stored)), tmp_path / "rows.parquet")
    region = Entity(name="region_of", join_keys=["region"], value_type=ValueType.INT64)
    view = member_view(tmp_path, {"count": Int64, "text": String})
    view = FeatureView(name="m", entities=[MEMBER, region], ttl=view.ttl, schema=[*view.schema, Field(name="region", dtype=Int64)], source=view.batch_source)
    given = []
    for name, options in (("stock", STOCK), ("ours", OURS)):
        store = opened(tmp_path, name, options)
        with quiet():
            store.apply([MEMBER, region, view])
        materialize(store)
        rows = [{"region": 7, "member_id": "b"}, {"region": -1, "member_id": "a"}, {"region": 7, "member_id": "a"}]
        given.append(store.get_online_features(["m:count", "m:text"], rows).to_dict(include_event_timestamps=True))
    assert given[1] == given[0]
    assert given[1]["count"] == [-BIG - 1, BIG, None]


def test_a_source_without_a_key_is_an_error(tmp_path):
    """Not a row that nobody finds: the materialization fails and says which column."""
    store = feast(tmp_path, "ours", OURS, table(member_id=["a", None, "c", "d"]))
    with pytest.raises(ValueError, match="1 rows have no member_id"):
        materialize(store)


def test_the_table_covers_every_declared_type():
    """A type that is declared and not tested would be a hole."""
    assert set(ROWS) == {"member_id", "event_timestamp", "created_timestamp", *SCHEMA}


def test_the_feature_server_gives_the_same(both):
    """Feast's own HTTP server over either store: the same JSON."""
    from fastapi.testclient import TestClient
    from feast.feature_server import get_app

    plain = [name for name in references() if name not in {"m:tags", "m:raw", "m:small"}]  # bytes and infinities have no JSON
    given = [TestClient(get_app(s)).post("/get-online-features", json={"features": plain, "entities": {"member_id": ["a", "b", "nobody"]}}) for s in both]
    assert [g.status_code for g in given] == [200, 200]
    assert given[0].json() == given[1].json()
