"""The time budget and its breaker, on a store that can be held up."""

import queue
import threading
import time
from datetime import UTC, datetime

import pytest

from serving.decide import Features
from serving.features import Late, Lookup
from tests.serving.conftest import soonest
from training.domain.served import Reason

BUDGET = 0.5
"""Seconds: more than a busy machine keeps a thread waiting for."""
AT = datetime(2026, 3, 10, tzinfo=UTC)


class Store:
    """Answers once `gate` is open."""

    def __init__(self):
        self.gate, self.asked = threading.Event(), 0

    def online_members(self, member_ids):
        self.asked += 1
        self.gate.wait(60)
        if "bad" in member_ids:
            raise OSError("disk gone")
        return [{"visits_7d": 1.0, "event_timestamp": AT} if i == "m1" else {} for i in member_ids]


def nobody(_):
    """For a look that is not late."""
    raise AssertionError("the budget has not run out")


def late(lookup, told):
    """Seconds until somebody else goes on in the place of a caller who waits, and what the caller is left with in the end."""
    left, begin = queue.SimpleQueue(), time.monotonic()
    threading.Thread(target=lambda: left.put(lookup.members(["m1"], told.put)), daemon=True).start()
    assert told.get(timeout=60) == {"m1": Reason.STORE_DOWN}
    seconds = time.monotonic() - begin
    assert left.empty()
    return seconds, left


def test_a_store_that_is_late_opens_the_breaker_until_it_has_ended():
    """Within the budget somebody else goes on in the caller's place, nothing else is asked meanwhile, and all is well afterwards."""
    store, told = Store(), queue.SimpleQueue()
    lookup = Lookup(store, BUDGET)
    seconds, left = late(lookup, told)
    assert seconds >= BUDGET
    assert lookup.open
    assert lookup.members(["m1"], nobody) == {"m1": Reason.STORE_DOWN}
    assert store.asked == 1
    store.gate.set()
    assert left.get(timeout=60) is None
    assert not lookup.open
    assert lookup.members(["m1", "m2"], nobody) == {"m1": Features({"visits_7d": 1.0}, AT), "m2": Reason.UNKNOWN_MEMBER}
    assert told.empty()
    lookup.close()


def test_a_late_look_is_ended_soon_after_its_budget():
    """Within a second of it, on a machine that is not busy."""

    def seconds():
        store = Store()
        lookup = Lookup(store, 0.05)
        took, left = late(lookup, queue.SimpleQueue())
        store.gate.set()
        assert left.get(timeout=60) is None
        lookup.close()
        return took

    assert soonest(seconds, 1.0) < 1.0


def test_each_look_has_the_whole_budget():
    """However many quick ones went before it: the watch wakes once a budget, not once a look."""
    store, told = Store(), queue.SimpleQueue()
    store.gate.set()
    lookup = Lookup(store, BUDGET)
    until = time.monotonic() + 1.5 * BUDGET
    while time.monotonic() < until:
        lookup.members(["m1"], nobody)
        time.sleep(0.001)
    store.gate.clear()
    assert late(lookup, told)[0] >= BUDGET
    store.gate.set()
    lookup.close()


def test_who_cannot_be_left_behind_asks_no_store_that_was_late():
    """The loop waits for one late look at most. Then others ask, whom somebody can replace, until a look was in time again."""
    store = Store()
    lookup = Lookup(store, BUDGET)
    threading.Timer(BUDGET + 0.2, store.gate.set).start()
    assert lookup.at_once(["m1"]) == {"m1": Features({"visits_7d": 1.0}, AT)}
    for _ in range(2):
        with pytest.raises(Late):
            lookup.at_once(["m1"])
    assert store.asked == 1
    assert lookup.members(["m1"], nobody) == lookup.at_once(["m1"])


def test_a_store_that_fails_is_down_for_that_question():
    """And asked again for the next."""
    store = Store()
    store.gate.set()
    lookup = Lookup(store, 60)
    assert lookup.members(["bad"], nobody) == {"bad": Reason.STORE_DOWN}
    assert isinstance(lookup.members(["m1"], nobody)["m1"], Features)
    lookup.close()


def test_the_first_question_is_as_quick_as_any_other():
    """What a store does once, such as connecting, is done before anybody asks; a store that is down then keeps no worker from answering."""

    class Slow(Store):
        def online_members(self, member_ids):
            time.sleep(0.0 if self.asked else 2 * BUDGET)
            return super().online_members(member_ids)

    store = Slow()
    store.gate.set()
    lookup = Lookup(store, BUDGET)
    lookup.warm()
    assert lookup.members(["m1"], nobody) == {"m1": Features({"visits_7d": 1.0}, AT)}
    lookup.close()

    class Down:
        def online_members(self, member_ids):
            raise OSError("no connection")

    lookup = Lookup(Down(), 60)
    lookup.warm()
    assert lookup.members(["m1"], nobody) == {"m1": Reason.STORE_DOWN}
    lookup.close()


def test_a_store_that_cannot_say_whether_it_is_local_is_not():
    """As one whose configuration cannot be read yet: nobody may wait for it without a budget."""

    class Unsure(Store):
        @property
        def local(self):
            raise OSError("no registry")

    lookup = Lookup(Unsure(), 60)
    assert lookup.local is False
    lookup.close()


def test_nothing_is_watched_any_more_once_it_is_closed():
    """Neither where something was looked up nor where nobody ever asked."""
    before, store = set(threading.enumerate()), Store()
    store.gate.set()
    asked, unasked = Lookup(store, 0.05), Lookup(store, 60)
    asked.members(["m1"], nobody)
    threads = set(threading.enumerate()) - before
    assert len(threads) == 2
    for lookup in (asked, unasked):
        lookup.close()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
