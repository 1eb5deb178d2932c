"""The guard with a store of keys that fails or hangs: nobody is let in, and nothing else waits for it."""

from __future__ import annotations

import asyncio
import threading
from time import monotonic

import pytest

from serving.auth import Guard, Windows
from serving.problems import Refusal
from tests.fakes.logs import AT
from training.adapters.log_keys import ApiKeys, RecentKeys, Scope
from training.domain.errors import LogError


class Keys(ApiKeys):
    """Fails or hangs when told to, and counts how often it is asked."""

    fails, gate, asked = False, None, 0

    def valid(self):
        self.asked += 1
        if self.gate:
            self.gate.wait(60)
        if self.fails:
            raise LogError("no route to host db.internal")
        return super().valid()


@pytest.fixture(name="keys")
def _keys(tmp_path):
    """A store of keys."""
    return Keys(f"sqlite:///{tmp_path / 'log.db'}")


def status(found):
    """What a check came to."""
    return found.status if isinstance(found, Refusal) else found


def checks(guard, token, count=1):
    """Several at once."""

    async def all_of_them():
        return await asyncio.gather(*(guard.check(token, Scope.READ) for _ in range(count)), return_exceptions=True)

    return all_of_them()


def test_keys_that_cannot_be_read_open_nothing(keys):
    """All who ask meanwhile are told, after one look at the database, and nothing of what it said."""
    token = keys.create("a", ["read"], AT)
    keys.fails = True
    found = asyncio.run(checks(Guard(RecentKeys(keys, 60), "9/second", 60), token, 20))
    assert [status(f) for f in found] == [503] * 20
    assert keys.asked == 1
    assert "db.internal" not in found[0].detail


def test_a_store_that_hangs_does_not_hold_the_loop(keys):
    """Others go on; who waited is let in once it answers, and one rate counts for all."""
    token, guard = keys.create("a", ["read"], AT), Guard(RecentKeys(keys, 60), "3/minute", 60)
    keys.gate = threading.Event()

    async def meanwhile():
        waiting = asyncio.create_task(checks(guard, token, 5))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        keys.gate.set()
        return await waiting

    found = asyncio.run(meanwhile())
    assert sorted(status(f) for f in found if isinstance(f, Refusal)) == [429, 429]
    assert keys.asked == 1


def test_keys_are_read_whatever_else_waits_for_a_thread(keys):
    """As a crowd of readers of the log does."""
    token, guard, gate = keys.create("a", ["read"], AT), Guard(RecentKeys(keys, 60), "9/second", 5), threading.Event()

    async def meanwhile():
        crowd = [asyncio.to_thread(gate.wait, 60) for _ in range(100)]
        waiting = asyncio.gather(*crowd)
        await asyncio.sleep(0.05)
        found = await checks(guard, token)
        gate.set()
        await waiting
        return found

    assert [found.key_id for found in asyncio.run(meanwhile())] == [token.split("_")[1]]
    guard.stop()


def test_nobody_waits_for_keys_without_end(keys):
    """All are told when the time is over, who comes later at once, after one look at the database; once it answers they are let in."""
    token, guard = keys.create("a", ["read"], AT), Guard(RecentKeys(keys, 60), "9/minute", 0.2)
    keys.gate = threading.Event()

    async def story():
        found = [*await checks(guard, token, 3)]
        began = monotonic()
        found += await checks(guard, token)
        at_once = monotonic() - began
        keys.gate.set()
        while guard._reading is not None:
            await guard._reading
        return found, at_once, await checks(guard, token)

    found, at_once, after = asyncio.run(story())
    assert [status(f) for f in found] == [503] * 4
    assert at_once < 0.2
    assert [key.name for key in after] == ["a"]
    assert keys.asked == 1


class Timed(RecentKeys):
    """Keys that are trusted for ten seconds of a clock that the test moves."""

    def __init__(self, keys):
        self.now = 0.0
        super().__init__(keys, 10.0, lambda: self.now)


def admitted(guard, recent, token, at):
    """Whether `token` is let in at once when it is `at`; then whatever that began is done."""

    async def once():
        recent.now = at
        found = guard.admits(token, Scope.READ)
        while guard._reading is not None:
            await guard._reading
        return found

    return once()


def test_keys_are_read_again_before_anybody_waits_for_them(keys):
    """Half way to the end of their time, once; a key that was revoked meanwhile is refused from then on."""
    token, recent = keys.create("a", ["read"], AT), Timed(keys)
    guard = Guard(recent, "9/second", 60)

    async def story():
        assert not await admitted(guard, recent, token, 0.0)  # nobody has asked for keys yet: `check` does
        assert (await guard.check(token, Scope.READ)).name == "a"
        assert [await admitted(guard, recent, token, at) for at in (1.0, 4.9, 5.1, 6.0)] == [True] * 4
        assert keys.asked == 2
        keys.revoke(token.split("_")[1], AT)
        assert [await admitted(guard, recent, token, at) for at in (10.0, 10.2, 10.3)] == [True, True, False]

    asyncio.run(story())


def test_keys_that_cannot_be_read_again_are_held_to_their_end(keys):
    """Then nobody is let in at once, and who asks is told."""
    token, recent = keys.create("a", ["read"], AT), Timed(keys)
    guard = Guard(recent, "9/second", 60)

    async def story():
        await guard.check(token, Scope.READ)
        keys.fails = True
        assert [await admitted(guard, recent, token, at) for at in (6.0, 9.9, 10.1)] == [True, True, False]
        return await checks(guard, token)

    assert [status(f) for f in asyncio.run(story())] == [503]


def test_a_rate_holds_over_the_border_of_two_windows():
    """What was let through shortly before counts for its share; after a window without a request all are let through again."""
    windows = Windows("10/minute")
    assert [windows.hit("a", 59.0) for _ in range(11)] == [True] * 10 + [False]
    assert [windows.hit("a", 75.0) for _ in range(4)] == [True] * 3 + [False]  # 10 * 45/60 of the window before, and three
    assert [windows.hit("b", 60.0) for _ in range(11)] == [True] * 10 + [False]
    assert [windows.hit("a", 200.0) for _ in range(11)] == [True] * 10 + [False]


@pytest.mark.parametrize("rate", ["10/minute", "3/second", "1/minute", "7/hour"])
@pytest.mark.parametrize("before", [0, 4, 10])
@pytest.mark.parametrize("at", [0.0, 17.25, 30.0, 59.5])
def test_who_is_refused_is_told_when_to_come_again(rate, before, at):
    """Then there is room, and a second earlier there is none, in this window or the next."""
    windows, now = Windows(rate), 7_200 + at
    for _ in range(before):
        windows.hit("a", now - windows.rate.get_expiry())
    while windows.hit("a", now):
        pass
    seconds = windows.wait("a", now)
    assert seconds == 1 or not windows.hit("a", now + seconds - 1)
    assert windows.hit("a", now + seconds)


def test_a_refusal_beyond_the_rate_says_how_long_to_wait(keys):
    """In its header and in words."""
    token, guard = keys.create("a", ["read"], AT), Guard(RecentKeys(keys, 60), "1/hour", 60)
    [refused] = [found for found in asyncio.run(checks(guard, token, 2)) if isinstance(found, Refusal)]  # either may be first
    assert (refused.status, 1 < int(refused.headers["Retry-After"]) <= 86_401) == (429, True)
    assert f"Wait {refused.headers['Retry-After']} s" in refused.detail


def test_who_is_known_is_admitted_at_once(keys):
    """By the keys as they were read a moment ago, counted in the same window as by `check`; everything else is left to `check`."""
    token, guard = keys.create("a", ["decide"], AT), Guard(RecentKeys(keys, 60), "3/minute", 60)
    assert not guard.admits(token, Scope.DECIDE)
    asyncio.run(guard.check(token, Scope.DECIDE))
    assert [guard.admits(token, Scope.READ), guard.admits(f"{token}x", Scope.DECIDE), guard.admits("", Scope.DECIDE)] == [False] * 3
    assert [guard.admits(token, Scope.DECIDE) for _ in range(3)] == [True, True, False]
