"""Batches over a real log: what is answered when it cannot be read, when it cannot be written, and when many ask at once."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from serving.decide import World
from serving.decider import Busy, Decider
from serving.features import Lookup
from serving.menus import Menus
from serving.metrics import Metrics
from serving.settling import Unlogged
from tests.fakes.logs import postgres, served
from training.adapters.decision_log import DecisionLog
from training.config.serving import CapSettings, ServingSettings, Without
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.errors import LogError
from training.domain.nouns import NONE, Context, Surface
from training.domain.served import FALLBACK, Asked, Reason, Served
from training.model.compiled import Scores

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


class Store:
    """Everybody consents to e-mail; of one member it says what no log can keep."""

    def __init__(self, local=False):
        self.local = local

    def online_members(self, member_ids):
        return [{"consents": "email", "event_timestamp": NOW} | ({"odd": object()} if member == "odd" else {}) for member in member_ids]


class Held(Store):
    """Answers once for each turn of `gate`, and says that it was `reached`."""

    def __init__(self):
        super().__init__()
        self.gate, self.reached = threading.Semaphore(0), threading.Semaphore(0)

    def online_members(self, member_ids):
        self.reached.release()
        self.gate.acquire()
        return super().online_members(member_ids)


class Source:
    """A world without a champion, in which every arm may be shown."""

    serving = ServingSettings(without_champion=Without.UNIFORM, caps=CapSettings(day=2, week=2, channel_day=2, channel_week=2))
    world = World(Menus(load_catalog(Settings().catalog), serving.caps), None, frozenset(), serving)


class Broken(DecisionLog):
    """One part of each transaction is refused."""

    part = ""

    @contextmanager
    def staged(self, members, **how):
        with super().staged(members, **how) as real:
            setattr(real, self.part, refuse)
            yield real


class Unreadable(Broken):
    """States cannot be read; decisions can be added."""

    part = "read"


class Raced(DecisionLog):
    """After each look another worker answers another member under the request id r1, where the database lets it."""

    @contextmanager
    def staged(self, members, **how):
        with super().staged(members, **how) as real:
            look = real.read

            def read(*question):
                found = look(*question)
                with DecisionLog(self.engine.url.render_as_string(hide_password=False)).writing(["another"]) as other:
                    other.append([served("1", "another")])
                return found

            real.read = read
            yield real


class Unsynced(Broken):
    """What is committed is not known to be on the disk, and the kernel does not sync it."""

    part, begin = "settle", staticmethod(lambda *_: False)

    @contextmanager
    def staged(self, members, **how):
        with super().staged(members, **how) as real:
            real.begin = self.begin
            yield real


class Unkept(Unsynced):
    """The same, where the kernel does, and tells of it later."""

    begin = staticmethod(lambda _, done: asyncio.get_running_loop().call_soon(done, LogError("the disk is gone")))


class Closed(DecisionLog):
    """Nothing can be written."""

    @contextmanager
    def staged(self, members, **how):
        refuse()
        yield


def refuse(*_):
    """What a log without a disk says."""
    raise LogError("the disk is gone")


def asked(member, request):
    """A question of noon."""
    return Asked(f"d-{request}", request, member, NOW, Context(Surface.OUTBOUND, 12, 1))


@pytest.fixture(params=[False, True], ids=["thread", "loop"])
def answers(tmp_path, request):
    """Ask a decider over a log of the given kind, which decides in its thread or, where log and store are local, on the loop; answers or exceptions."""

    def run(kind, questions, url=""):
        log = kind(url or f"sqlite:///{tmp_path / 'log.db'}")
        decider = Decider(log, Lookup(Store(request.param), 60), Source(), Metrics(CollectorRegistry()), lambda: 0.999)

        async def ask():
            decider.start(asyncio.get_running_loop())
            found = await asyncio.gather(*(decider.ask(q) for q in questions), return_exceptions=True)
            await asyncio.to_thread(decider.stop)
            return found

        return asyncio.run(ask()), log

    return run


def test_everybody_is_answered_and_the_cap_holds(answers):
    """Fifty members ask three times each, all at once: two messages each, and the third answer is `none`."""
    found, log = answers(DecisionLog, [asked(f"m{i}", f"r{i}.{k}") for k in range(3) for i in range(50)])
    for i in range(50):
        shown = [s.chosen_arm for s in found if s.asked.member_id == f"m{i}"]
        assert sorted(arm != NONE for arm in shown) == [False, True, True]
    assert all(log.find(s.asked.decision_id).asked == s.asked for s in found)


def test_a_request_is_answered_once(answers):
    """Among others in one batch, again in a later one, and again by another decider."""
    question = asked("m1", "r1")
    again = replace(question, decision_id="another")
    found, _ = answers(DecisionLog, [question, again, again])
    assert {s.asked.decision_id for s in found} == {"d-r1"}
    later, _ = answers(DecisionLog, [again])
    assert later[0].asked.decision_id == "d-r1"


def test_what_is_answered_is_what_the_log_holds(answers, tmp_path):
    """Two workers race for one request id with two members: the one who comes second gets the decision that stands, which names the other member."""
    with postgres(tmp_path) as server:
        found, log = answers(Raced, [asked("m1", "r-1")], server)
        assert (found[0].asked.member_id, found[0].asked.decision_id) == ("another", "d-1")
        assert log.find("d-r-1") is None
        log.engine.dispose()


def test_what_cannot_be_kept_of_one_member_harms_nobody_else(answers):
    """Whoever shares its batch is decided on as ever; the one is refused."""
    found, log = answers(DecisionLog, [asked(who, f"r-{who}") for who in ("m1", "odd", "m2")])
    assert isinstance(found[1], Unlogged)
    assert [found[i].reason for i in (0, 2)] == [Reason.NO_CHAMPION] * 2
    assert [log.find(f"d-r-{who}") is not None for who in ("m1", "odd", "m2")] == [True, False, True]


class Failing:
    """A champion that is damaged: it fails on one member."""

    version, posterior, arms_version = "7", 0, ""

    def score(self, features, context, feasible):
        if features.get("odd"):
            raise ValueError("a weight is missing")
        return Scores(np.full(len(feasible), 1.0 / len(feasible)))


def test_a_champion_that_fails_on_a_member_decides_for_the_others(answers, monkeypatch):
    """The one gets the safe default, marked, without the features that nobody could learn from."""
    monkeypatch.setattr(Source, "world", replace(Source.world, champion=Failing()))
    found, log = answers(DecisionLog, [asked(who, f"r-{who}") for who in ("m1", "odd", "m2")])
    assert [s.reason for s in found] == [Reason.CHAMPION, Reason.CHAMPION_FAILED, Reason.CHAMPION]
    kept = log.find("d-r-odd")
    assert (kept.chosen_arm, kept.propensity, kept.group, kept.features) == (NONE, 1.0, FALLBACK, {})


def test_a_crowd_of_one_member_is_bounded_too(tmp_path, monkeypatch):
    """Requests that wait for a later batch count among those that wait."""
    monkeypatch.setattr("serving.decider.WAITING", 20)
    store, log = Held(), DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")
    decider = Decider(log, Lookup(store, 60), Source(), Metrics(CollectorRegistry()), lambda: 0.999)

    async def ask():
        decider.start(asyncio.get_running_loop())
        first = [asyncio.create_task(decider.ask(asked("m1", f"r{i}"))) for i in range(15)]
        for seen in (1, 2):  # in the second look all the others are put off
            await asyncio.to_thread(store.reached.acquire)
            if seen == 1:
                store.gate.release()
        more = [asyncio.create_task(decider.ask(asked("m1", f"more{i}"))) for i in range(15)]
        await asyncio.sleep(0)
        store.gate.release(100)
        found = await asyncio.gather(*first, *more, return_exceptions=True)
        await asyncio.to_thread(decider.stop)
        return found

    found = asyncio.run(ask())
    assert all(isinstance(f, Served) for f in found[:15])
    assert sum(isinstance(f, Busy) for f in found[15:]) == 15 - (20 - 14)


async def until(holds):
    """Wait for it."""
    while not holds():  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.01)


def test_a_store_that_hangs_holds_up_nobody(tmp_path):
    """Whoever waits for it gets the safe answer within the budget, so do those who come meanwhile; once it answers, so does the service, in one thread."""
    store, log = Held(), DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")
    lookup = Lookup(store, 0.5)
    decider = Decider(log, lookup, Source(), Metrics(CollectorRegistry()), lambda: 0.999)

    async def ask():
        decider.start(asyncio.get_running_loop())
        found = [await decider.ask(asked("m1", "r1")), await decider.ask(asked("m2", "r2"))]
        assert lookup.open
        store.gate.release(100)
        await until(lambda: not lookup.open)
        found.append(await decider.ask(asked("m1", "r3")))
        await until(lambda: [t.name for t in threading.enumerate()].count("decider") == 1)  # the thread that was left behind ends
        await asyncio.to_thread(decider.stop)
        return found

    found = asyncio.run(asyncio.wait_for(ask(), 60))
    assert [s.reason for s in found] == [Reason.STORE_DOWN, Reason.STORE_DOWN, Reason.NO_CHAMPION]
    assert all(log.find(s.asked.decision_id).reason is s.reason for s in found)


def test_unreadable_states_show_nothing_and_say_so(answers):
    """The safe answer is kept like any other."""
    found, log = answers(Unreadable, [asked("m1", "r1"), asked("m2", "r2")])
    assert [(s.chosen_arm, s.reason, s.group, s.propensity) for s in found] == [(NONE, Reason.STATE_UNREADABLE, FALLBACK, 1.0)] * 2
    assert log.find("d-r1").reason is Reason.STATE_UNREADABLE


def test_what_cannot_be_kept_is_not_decided(answers):
    """The caller is told why."""
    found, _ = answers(Closed, [asked("m1", "r1")])
    assert isinstance(found[0], Unlogged)
    assert "the disk is gone" in str(found[0])


@pytest.mark.parametrize("refused", [Unsynced, Unkept])
@pytest.mark.parametrize("count", [1, 3])
def test_what_is_not_durable_is_not_answered(answers, count, refused):
    """One alone, and several together."""
    found, _ = answers(refused, [asked(f"m{i}", f"r{i}") for i in range(count)])
    assert all(isinstance(one, Unlogged) for one in found)


def test_a_lock_holds_up_the_decision_and_not_the_loop(tmp_path):
    """While another process writes, a decision on the loop is handed to the thread, which waits; the loop goes on."""
    log = DecisionLog(f"sqlite:///{tmp_path / 'log.db'}")
    decider = Decider(log, Lookup(Store(local=True), 5), Source(), Metrics(CollectorRegistry()), lambda: 0.999)

    async def ask():
        decider.start(asyncio.get_running_loop())
        with log.staged(["another"]):
            waiting = asyncio.create_task(decider.ask(asked("m1", "r1")))
            for _ in range(20):
                await asyncio.sleep(0.005)
            assert not waiting.done()
        found = await waiting
        await asyncio.to_thread(decider.stop)
        return found

    assert asyncio.run(asyncio.wait_for(ask(), 60)).reason is Reason.NO_CHAMPION


def test_the_loop_waits_for_no_thread_that_decides(tmp_path):
    """A model is for one at a time: while the thread is at it, what comes is put behind, and the loop goes on."""
    decider = Decider(DecisionLog(f"sqlite:///{tmp_path / 'log.db'}"), Lookup(Store(local=True), 5), Source(), Metrics(CollectorRegistry()), lambda: 0.999)

    async def ask():
        decider.start(asyncio.get_running_loop())
        decider._turn.acquire()
        end = threading.Timer(2.0, decider._turn.release)
        end.start()
        waiting = asyncio.create_task(decider.ask(asked("m1", "r1")))
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert decider._turn.locked()
        assert not waiting.done()
        end.cancel()
        decider._turn.release()
        found = await waiting
        await asyncio.to_thread(decider.stop)
        return found

    assert asyncio.run(asyncio.wait_for(ask(), 60)).reason is Reason.NO_CHAMPION
