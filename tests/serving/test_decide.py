"""The pure decision: every way in which something can be missing, and the draw."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from serving.decide import Features, Groups, World, decide, together
from serving.menus import Menus
from training.config.serving import ServingSettings, Without
from training.config.settings import Settings
from training.domain.assignment import Group, Split
from training.domain.catalog import load_catalog
from training.domain.nouns import NONE, Context, Surface
from training.domain.served import FALLBACK, UNIFORM, Asked, MemberState, Reason

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
ASKED = Asked("d", "r", "m", NOW, Context(Surface.OUTBOUND, 12, 1))
KNOWN = Features({"consents": "email"}, NOW - timedelta(hours=12))


@dataclass(frozen=True)
class Scores:
    p: np.ndarray


class Falling:
    """A champion that prefers the first arms: p is proportional to 1/2, 1/4, ..."""

    posterior, arms_version = 3, "abc"

    def __init__(self, version="7"):
        self.version = version

    def score(self, features, context, feasible):
        p = 0.5 ** np.arange(1, len(feasible) + 1)
        return Scores(p / p.sum())


@pytest.fixture(scope="module")
def world():
    """With a champion."""
    serving = ServingSettings()
    return World(Menus(load_catalog(Settings().catalog), serving.caps), Falling(), frozenset(), serving, {"policy": "{}"})


@pytest.mark.parametrize(
    ("features", "state", "changes", "reason"),
    [
        (KNOWN, None, {}, Reason.STATE_UNREADABLE),
        (KNOWN, MemberState(), {"paused": None}, Reason.STATE_UNREADABLE),
        (Reason.STORE_DOWN, MemberState(), {}, Reason.STORE_DOWN),
        (Reason.UNKNOWN_MEMBER, MemberState(), {}, Reason.UNKNOWN_MEMBER),
        (replace(KNOWN, at=NOW - timedelta(days=3)), MemberState(), {}, Reason.STALE_FEATURES),
        (KNOWN, MemberState(), {"champion": None}, Reason.NO_CHAMPION),
    ],
)
def test_what_is_missing_shows_nothing_for_certain(world, features, state, changes, reason):
    """`none` with propensity 1, in the group that no judging counts."""
    served = decide(ASKED, features, state, replace(world, **changes), 0.99)
    assert (served.chosen_arm, served.propensity, served.reason, served.group, served.channel_id) == (NONE, 1.0, reason, FALLBACK, "")
    assert served.decision().propensity == 1.0


def test_features_at_the_limit_decide_and_older_ones_are_kept_with_the_safe_default(world):
    """So that a funnel says how old they were; where none were found it says that."""
    oldest = replace(KNOWN, at=NOW - world.serving.features_max_age)
    older = replace(oldest, at=oldest.at - timedelta(microseconds=1))
    found = [decide(ASKED, features, MemberState(), world, 0.6) for features in (oldest, older, Reason.UNKNOWN_MEMBER)]
    assert [s.reason for s in found] == [Reason.CHAMPION, Reason.STALE_FEATURES, Reason.UNKNOWN_MEMBER]
    assert [(s.features, s.features_at) for s in found] == [(KNOWN.values, oldest.at), (KNOWN.values, older.at), ({}, None)]


def test_the_champion_decides(world):
    """u picks the arm from p; what a replay needs stands in the record."""
    served = decide(ASKED, KNOWN, MemberState(), world, 0.6)
    assert served.feasible[0] == NONE
    assert served.chosen_arm == served.feasible[1]
    assert served.propensity == served.p[1] > 0
    assert (served.group, served.reason, served.model_version, served.posterior, served.arms_version) == ("champion", Reason.CHAMPION, "7", 3, "abc")
    assert (served.channel_id, served.notes["policy"]) == ("email", "{}")
    assert served.expires_at - NOW == timedelta(minutes=30)
    assert served.decision().chosen_arm == served.chosen_arm


def test_without_a_champion_a_first_log_can_be_gathered(world):
    """Every feasible arm alike, which is a policy like any other and no fallback."""
    free = replace(world, champion=None, serving=ServingSettings(without_champion=Without.UNIFORM))
    served = decide(ASKED, KNOWN, MemberState(), free, 0.999)
    assert served.group == UNIFORM
    assert served.p.tolist() == [1 / len(served.feasible)] * len(served.feasible)
    assert served.chosen_arm == served.feasible[-1]


DAY = NOW.date()
SPLIT = Split("salt", 0.1, 0.05, "e1", ((DAY - timedelta(5), 0.25), (DAY, 0.5), (DAY + timedelta(1), 0.75)))
ALL = [f"m{i}" for i in range(2000)]
WHOSE = {"champion": "7", "challenger": "8", "holdback": "6", "control": ""}


@pytest.fixture(scope="module")
def live(world):
    """In the second stage of an experiment, with a version of its own for the holdback."""
    return replace(world, groups=Groups(SPLIT, Falling("8"), Falling("6")))


def asked_of(world, members, at=NOW, u=0.6):
    """Their decisions."""
    return [decide(replace(ASKED, member_id=m, at=at), replace(KNOWN, at=at), MemberState(), world, u) for m in members]


def test_each_group_gets_its_models_decisions(live):
    """By hash and day alone; what is logged is the group, the version, the experiment and the stage, and why."""
    found = asked_of(live, ALL)
    assert [s.group for s in found] == [SPLIT.group(m, DAY).value for m in ALL]
    assert {(s.group, s.model_version) for s in found} == set(WHOSE.items())
    assert {(s.notes["experiment"], s.notes["stage"], s.notes["policy"]) for s in found} == {("e1", "2", "{}")}
    assert {s.group: s.reason for s in found} == dict.fromkeys(WHOSE, Reason.CHAMPION) | {"control": Reason.CONTROL}


def test_a_stage_begins_at_midnight_in_utc(live):
    """The instant of the decision says which day it is, in whatever zone it is written."""
    east = timezone(timedelta(hours=9))
    for at, stage in (
        (datetime(2026, 3, 10, 23, 59, 59, tzinfo=UTC), 2),
        (datetime(2026, 3, 11, tzinfo=UTC), 3),
        (datetime(2026, 3, 11, 8, 59, tzinfo=east), 2),
    ):
        found = asked_of(live, ALL, at)
        assert {s.notes["stage"] for s in found} == {str(stage)}
        assert [s.group for s in found] == [SPLIT.group(m, DAY + timedelta(stage - 2)).value for m in ALL]


def test_control_is_uniform_over_the_feasible_arms_and_obeys_every_rule(live):
    """Consent, caps, pauses and exclusions; each arm that is left has exactly the same probability, and the draw reaches them all."""
    member = next(m for m in ALL if SPLIT.group(m, DAY) is Group.CONTROL)
    whole = asked_of(live, [member])[0]
    assert whole.p.tolist() == [1 / len(whole.feasible)] * len(whole.feasible)
    (paused, excluded) = whole.feasible[1:3]
    asked = replace(ASKED, member_id=member, exclude=(excluded,))
    state, narrow = MemberState(), replace(live, paused=frozenset({paused}))
    count = len(whole.feasible) - 2
    drawn = [decide(asked, KNOWN, state, narrow, (i + 0.5) / count) for i in range(count)]
    assert {s.chosen_arm for s in drawn} == set(whole.feasible) - {paused, excluded}
    assert {s.propensity for s in drawn} == {1 / count}
    full = MemberState(messages=(("email", NOW - timedelta(hours=1)),))
    for state, features in ((full, KNOWN), (MemberState(withdrawn=frozenset({"email"})), KNOWN), (MemberState(), Features({"consents": ""}, KNOWN.at))):
        served = decide(asked, features, state, live, 0.999)
        assert (served.chosen_arm, served.propensity, served.group) == (NONE, 1.0, "control")


@pytest.mark.parametrize(("group", "missing"), [("challenger", "challenger"), ("holdback", "holdback")])
def test_a_group_without_its_model_gets_the_safe_default_and_no_others_decision(live, group, missing):
    """Else what the champion does would be counted as the challenger's; all others are decided on as ever, and the fallback says which experiment ran."""
    found = asked_of(replace(live, groups=replace(live.groups, **{missing: None})), ALL)
    mine = [s for m, s in zip(ALL, found, strict=True) if SPLIT.group(m, DAY).value == group]
    assert {(s.chosen_arm, s.propensity, s.reason, s.group, s.notes["experiment"]) for s in mine} == {(NONE, 1.0, Reason.CHAMPION_FAILED, FALLBACK, "e1")}
    assert {(s.group, s.model_version) for s in found if s.group != FALLBACK} == {(g, v) for g, v in WHOSE.items() if g != group}


def test_without_an_experiment_nothing_is_noted_and_holdback_and_control_stay(live):
    """It is over: its members are the champion's."""
    over = replace(live, groups=Groups(replace(SPLIT, experiment="", stages=()), None, Falling("6")))
    found = asked_of(over, ALL)
    assert {(s.group, s.model_version) for s in found} == {(g, v) for g, v in WHOSE.items() if g != "challenger"}
    assert all("experiment" not in s.notes for s in found)
    fixed = [s.group for s in asked_of(live, ALL)]
    assert all(now.group == then for now, then in zip(found, fixed, strict=True) if then in ("holdback", "control"))


def test_without_a_champion_nobody_has_a_group(live):
    """There is nothing to compare with."""
    nobody = asked_of(replace(live, champion=None, serving=ServingSettings(without_champion=Without.UNIFORM)), ALL[:200])
    assert {s.group for s in nobody} == {UNIFORM}


def test_with_nothing_allowed_none_is_certain(world):
    """A champion's decision too: the menu has one arm."""
    served = decide(ASKED, Features({"consents": None}, KNOWN.at), MemberState(), world, 0.5)
    assert (served.chosen_arm, served.propensity, served.group) == (NONE, 1.0, "champion")


def test_decided_together_each_is_as_decided_alone(live):
    """Champion's, challenger's and random control's decisions among fallbacks: same arm, same p, same record, in the same order."""
    cases = [(KNOWN, MemberState(), i / 40) for i in range(40)]
    cases[3::9] = [(Reason.STORE_DOWN, MemberState(), 0.5)] * len(cases[3::9])
    cases[5::9] = [(KNOWN, None, 0.5)] * len(cases[5::9])
    questions = [(replace(ASKED, member_id=f"m{i}"), features, state, live, u) for i, (features, state, u) in enumerate(cases)]
    alone, found = [decide(*question) for question in questions], together(questions)
    assert {one.group for one in alone} >= {FALLBACK, Group.CHAMPION.value, Group.CONTROL.value}
    assert [replace(one, p=()) for one in found] == [replace(one, p=()) for one in alone]
    assert all((one.p == other.p).all() for one, other in zip(found, alone, strict=True))
