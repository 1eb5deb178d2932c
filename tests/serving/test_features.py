"""The time budget and its breaker, on a store that can be held up."""

import threading
import time
from datetime import UTC, datetime

from serving.decide import Features
from serving.features import Lookup
from training.domain.served import Reason

AT = datetime(2026, 3, 10, tzinfo=UTC)


class Store:
    """Answers once `gate` is open."""

    def __init__(self):
        self.gate, self.asked = threading.Event(), 0

    def online_members(self, member_ids):
        self.asked += 1
        self.gate.wait(10)
        if "bad" in member_ids:
            raise OSError("disk gone")
        return [{"visits_7d": 1.0, "event_timestamp": AT} if i == "m1" else {} for i in member_ids]


def test_a_store_that_is_late_opens_the_breaker_until_it_has_ended():
    """Nothing else is asked meanwhile, and all is well afterwards."""
    store = Store()
    lookup = Lookup(store, 0.05)
    assert lookup.members(["m1"]) == {"m1": Reason.STORE_DOWN}
    assert lookup.open
    assert lookup.members(["m1"]) == {"m1": Reason.STORE_DOWN}
    assert store.asked == 1
    store.gate.set()
    while lookup.open:
        pass
    assert lookup.members(["m1", "m2"]) == {"m1": Features({"visits_7d": 1.0}, AT), "m2": Reason.UNKNOWN_MEMBER}
    lookup.close()


def test_a_store_that_fails_is_down_for_that_question():
    """And asked again for the next."""
    store = Store()
    store.gate.set()
    lookup = Lookup(store, 5)
    assert lookup.members(["bad"]) == {"bad": Reason.STORE_DOWN}
    assert isinstance(lookup.members(["m1"])["m1"], Features)
    lookup.close()


def test_the_first_question_is_as_quick_as_any_other():
    """What a store does once, such as connecting, is done before anybody asks; a store that is down then keeps no worker from answering."""

    class Slow(Store):
        def online_members(self, member_ids):
            time.sleep(0.0 if self.asked else 0.2)
            return super().online_members(member_ids)

    store = Slow()
    store.gate.set()
    lookup = Lookup(store, 0.1)
    lookup.warm()
    assert lookup.members(["m1"]) == {"m1": Features({"visits_7d": 1.0}, AT)}
    lookup.close()

    class Down:
        def online_members(self, member_ids):
            raise OSError("no connection")

    lookup = Lookup(Down(), 0.1)
    lookup.warm()
    assert lookup.members(["m1"]) == {"m1": Reason.STORE_DOWN}
    lookup.close()
