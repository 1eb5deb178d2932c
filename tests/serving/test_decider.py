"""Batches over a real log: what is answered when it cannot be read, when it cannot be written, and when many ask at once."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry

from serving.decide import World
from serving.decider import Decider, Unlogged
from serving.features import Lookup
from serving.menus import Menus
from serving.metrics import Metrics
from training.adapters.decision_log import DecisionLog
from training.config.serving import CapSettings, ServingSettings, Without
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.errors import LogError
from training.domain.nouns import NONE, Context, Surface
from training.domain.served import FALLBACK, Asked, Reason

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


class Store:
    """Everybody consents to e-mail."""

    def online_members(self, member_ids):
        return [{"consents": "email", "event_timestamp": NOW} for _ in member_ids]


class Source:
    """A world without a champion, in which every arm may be shown."""

    serving = ServingSettings(without_champion=Without.UNIFORM, caps=CapSettings(day=2, week=2, channel_day=2, channel_week=2))
    world = World(Menus(load_catalog(Settings().catalog), serving.caps), None, None, frozenset(), serving)


class Unreadable(DecisionLog):
    """States cannot be read; decisions can be added."""

    @contextmanager
    def writing(self, members):
        with super().writing(members) as real:
            real.read = refuse
            yield real


class Closed(DecisionLog):
    """Nothing can be written."""

    @contextmanager
    def writing(self, members):
        refuse()
        yield


def refuse(*_):
    """What a log without a disk says."""
    raise LogError("the disk is gone")


def asked(member, request):
    """A question of noon."""
    return Asked(f"d-{request}", request, member, NOW, Context(Surface.OUTBOUND, 12, 1))


@pytest.fixture
def answers(tmp_path):
    """Ask a decider over a log of the given kind; answers or exceptions in order."""

    def run(kind, questions):
        log = kind(f"sqlite:///{tmp_path / 'log.db'}")
        decider = Decider(log, Lookup(Store(), 5), Source(), Metrics(CollectorRegistry()), lambda: 0.999)

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
