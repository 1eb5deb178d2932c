"""No sequence of requests, outcomes, crashes, pauses and clock jumps exceeds a cap or reaches a member without consent.

Two deciders share one log, as two workers do. A crash leaves a decider with its questions unanswered: what it had committed stays, what it had not is gone.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from prometheus_client import CollectorRegistry

from serving.decide import World
from serving.decider import Decider
from serving.features import Lookup
from serving.menus import DAY, WEEK, Menus
from serving.metrics import Metrics
from training.adapters.decision_log import DecisionLog
from training.config.serving import CapSettings, ServingSettings, Without
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.nouns import NONE, Context, Outcome, OutcomeKind, Surface
from training.domain.served import Asked

START = datetime(2026, 3, 10, 12, tzinfo=UTC)
CAPS = CapSettings(day=2, week=3, channel_day=1, channel_week=2)
MEMBERS = {"m0": "", "m1": "email", "m2": "email,push", "m3": "email,push,sms"}
CATALOG = load_catalog(Settings().catalog)
WORLD = World(Menus(CATALOG, CAPS), None, frozenset(), ServingSettings(without_champion=Without.UNIFORM, caps=CAPS, features_max_age_hours=87_600))


class Store:
    """The members' consents, which opt-outs do not change: features are a day old."""

    def online_members(self, member_ids):
        return [{"consents": MEMBERS[m], "event_timestamp": START - timedelta(days=30)} for m in member_ids]


class Source:
    """A world whose paused arms can change."""

    world = WORLD


class Service(RuleBasedStateMachine):
    """What callers were told is remembered, and compared with the rules."""

    @initialize(u=st.floats(0.5, 0.999))
    def begin(self, u):
        """An empty log and two deciders."""
        self.folder = tempfile.TemporaryDirectory()
        self.url = f"sqlite:///{Path(self.folder.name) / 'log.db'}"
        self.log, self.u = DecisionLog(self.url), u
        self.now, self.count, self.source = START, 0, Source()
        self.told, self.out = [], set()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.deciders = [self.decider(), self.decider()]

    def decider(self):
        """A worker's."""
        made = Decider(DecisionLog(self.url), Lookup(Store(), 60), self.source, Metrics(CollectorRegistry()), lambda: self.u)
        made.start(self.loop)
        return made

    @rule(who=st.lists(st.sampled_from(sorted(MEMBERS)), min_size=1, max_size=6), which=st.integers(0, 1), u=st.floats(0, 0.999))
    def ask(self, who, which, u):
        """Several at once, on both deciders in turn."""
        self.u = u
        calls = []
        for i, member in enumerate(who):
            self.count += 1
            asked = Asked(f"d{self.count}", f"r{self.count}", member, self.now, Context(Surface.OUTBOUND, 12, 1))
            calls.append(asyncio.run_coroutine_threadsafe(self.deciders[(which + i) % 2].ask(asked), self.loop))
        self.told += [call.result(20) for call in calls]

    @rule(which=st.integers(0, 1))
    def crash(self, which):
        """A worker is gone, with whatever it knew."""
        self.deciders[which].stop()
        self.deciders[which] = self.decider()

    @rule(hours=st.sampled_from([-30, -1, 1, 23, 24, 25, 150]))
    def jump(self, hours):
        """The clock goes on, or back."""
        self.now += timedelta(hours=hours)

    @rule(pick=st.integers(0, 99))
    def opt_out(self, pick):
        """A member leaves the channel of one of the messages."""
        shown = [s for s in self.told if s.chosen_arm != NONE]
        if shown:
            served = shown[pick % len(shown)]
            outcome = Outcome(f"o{served.asked.decision_id}", served.asked.decision_id, OutcomeKind.OPT_OUT, served.asked.at)
            self.log.append_outcomes([outcome], max(self.now, served.asked.at))
            self.out.add((served.asked.member_id, served.channel_id, len(self.told)))

    @rule(some=st.sets(st.sampled_from(sorted(CATALOG.arms)), max_size=20))
    def pause(self, some):
        """The kill switch, as a worker sees it."""
        self.source.world = replace(WORLD, paused=frozenset(some))
        self.paused_from = len(self.told)

    @invariant()
    def consent_and_pauses_hold(self):
        """Only channels that the member agreed to, and none after opting out; no paused arm."""
        if not hasattr(self, "told"):
            return
        for i, s in enumerate(self.told):
            if s.chosen_arm != NONE:
                assert s.channel_id in MEMBERS[s.asked.member_id].split(",")
                assert not any((m, c) == (s.asked.member_id, s.channel_id) and i >= since for m, c, since in self.out)
                assert i < getattr(self, "paused_from", 10**9) or s.chosen_arm not in self.source.world.paused

    @invariant()
    def caps_hold(self):
        """In every window that ends with a message, by the instants of the decisions."""
        for s in getattr(self, "told", []):
            if s.chosen_arm == NONE:
                continue
            same = [x for x in self.told if x.chosen_arm != NONE and x.asked.member_id == s.asked.member_id]
            for span, most, of_channel in ((DAY, CAPS.day, CAPS.channel_day), (WEEK, CAPS.week, CAPS.channel_week)):
                within = [x for x in same if s.asked.at - span < x.asked.at <= s.asked.at]
                assert len(within) <= most
                assert sum(x.channel_id == s.channel_id for x in within) <= of_channel

    def teardown(self):
        """End the threads."""
        for decider in getattr(self, "deciders", []):
            decider.stop()
        if hasattr(self, "loop"):
            self.loop.call_soon_threadsafe(self.loop.stop)
            self.thread.join()
            self.folder.cleanup()


TestService = Service.TestCase
TestService.settings = settings(max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
