"""Keys of the service: made once, compared by their hash, revoked for running workers too."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from sqlalchemy import text

from tests.fakes.logs import AT
from training.adapters.log_engine import log_engine
from training.adapters.log_keys import ApiKeys, RecentKeys, match
from training.domain.errors import ConfigError


@pytest.fixture(name="keys")
def _keys(log_url):
    """No keys yet."""
    return ApiKeys(log_url)


def test_a_key_opens_what_it_was_made_for(keys):
    """Its text is found nowhere in the database, only its hash."""
    token = keys.create("shop", ["decide", "outcomes"], AT)
    assert re.fullmatch(r"rm_[0-9a-f]{16}_[A-Za-z0-9_-]{43}", token)
    found = keys.check(token)
    assert (found.name, found.scopes, found.created_at) == ("shop", {"decide", "outcomes"}, AT)
    with keys._engine.connect() as connection:
        row = connection.execute(text("select * from api_keys")).one()
    assert token.split("_", 2)[2] not in str(row)
    assert keys.list() == [found]


def test_nothing_else_opens(keys):
    """A changed secret, another key's secret, an unknown id, texts that are no key."""
    one, two = keys.create("a", ["read"], AT), keys.create("b", ["admin"], AT)
    mixed = "_".join([*one.split("_", 2)[:2], two.split("_", 2)[2]])
    for wrong in (one[:-1] + ("A" if one[-1] != "A" else "B"), mixed, one + " ", one.upper(), "rm_0_x", "rm__", "rm", "", "_" * 9, "\ud800", "rm_\0_\0"):
        assert keys.check(wrong) is None, wrong


def test_a_revoked_key_opens_nothing(keys):
    """And stays in the list with its time; revoking it again changes nothing."""
    token, other = keys.create("a", ["read"], AT), keys.create("b", ["read"], AT + timedelta(seconds=1))
    key = keys.check(token)
    assert (keys.revoke(key.key_id, AT), keys.revoke(key.key_id, AT + timedelta(1)), keys.revoke("x", AT)) == (True, False, False)
    assert keys.check(token) is None
    assert keys.check(other).name == "b"
    assert [(k.name, k.revoked_at) for k in keys.list()] == [("a", AT), ("b", None)]


def test_a_running_worker_learns_of_it_in_time(keys):
    """What was read stays for `ttl` seconds and no longer."""
    now = [0.0]
    recent = RecentKeys(ApiKeys(keys._engine), 0.5, lambda: now[0])
    token = keys.create("a", ["read"], AT)
    assert recent.check(token) is not None
    keys.revoke(token.split("_")[1], AT)
    late = keys.create("b", ["read"], AT)
    now[0] = 0.5
    assert (recent.check(token) is None, recent.check(late) is None) == (False, True)
    now[0] = 0.51
    assert (recent.check(token) is None, recent.check(late) is None) == (True, False)


@pytest.mark.parametrize("scopes", [[], ["root"], ["decide", "all"]])
def test_scopes_that_mean_nothing_are_refused(keys, scopes):
    """And no key is made."""
    with pytest.raises(ConfigError, match="decide, outcomes, read, admin"):
        keys.create("a", scopes, AT)
    assert keys.list() == []


def test_the_same_randomness_makes_the_same_key(tmp_path):
    """Known by hand, so that the format does not change unnoticed."""
    keys = ApiKeys(log_engine(f"sqlite:///{tmp_path}/log.db"))
    token = keys.create("a", ["read"], AT, lambda n: bytes(range(n)))
    assert token == "rm_0001020304050607_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"  # noqa: S105 - made of 0, 1, 2, ...
    assert match(token, keys.valid()).key_id == "0001020304050607"
