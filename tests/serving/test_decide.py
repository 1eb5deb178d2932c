"""The pure decision: every way in which something can be missing, and the draw."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from serving.decide import UNIFORM, Features, World, decide
from serving.menus import Menus
from training.config.serving import ServingSettings, Without
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.nouns import NONE, Context, Surface
from training.domain.served import CANARY, CHAMPION, FALLBACK, Asked, MemberState, Reason

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
ASKED = Asked("d", "r", "m", NOW, Context(Surface.OUTBOUND, 12, 1))
KNOWN = Features({"consents": "email"}, NOW - timedelta(hours=12))


@dataclass(frozen=True)
class Scores:
    p: np.ndarray


class Falling:
    """A champion that prefers the first arms: p is proportional to 1/2, 1/4, ..."""

    version, posterior, arms_version = "7", 3, "abc"

    def score(self, features, context, feasible):
        p = 0.5 ** np.arange(1, len(feasible) + 1)
        return Scores(p / p.sum())


@pytest.fixture(scope="module")
def world():
    """With a champion."""
    serving = ServingSettings()
    return World(Menus(load_catalog(Settings().catalog), serving.caps), Falling(), None, frozenset(), serving, {"policy": "{}"})


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


def test_the_champion_decides(world):
    """u picks the arm from p; what a replay needs stands in the record."""
    served = decide(ASKED, KNOWN, MemberState(), world, 0.6)
    assert served.feasible[0] == NONE
    assert served.chosen_arm == served.feasible[1]
    assert served.propensity == served.p[1] > 0
    assert (served.group, served.reason, served.model_version, served.posterior, served.arms_version) == (CHAMPION, Reason.CHAMPION, "7", 3, "abc")
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


def test_a_canary_decides_for_its_share_of_members(world):
    """By the hash of the member alone; the group says so."""
    canary = Falling()
    canary.version = "8"
    split = replace(world, canary=canary, serving=ServingSettings(canary_share=0.2))
    groups = [decide(replace(ASKED, member_id=f"m{i}"), KNOWN, MemberState(), split, 0.5) for i in range(2000)]
    assert {(s.group, s.model_version) for s in groups} == {(CHAMPION, "7"), (CANARY, "8")}
    assert sum(s.group == CANARY for s in groups) == pytest.approx(400, abs=60)
    alone = [
        decide(replace(ASKED, member_id=f"m{i}"), KNOWN, MemberState(), replace(split, serving=ServingSettings(canary_share=0.1)), 0.5) for i in range(2000)
    ]
    assert all(two.group == CANARY for one, two in zip(alone, groups, strict=True) if one.group == CANARY)


def test_with_nothing_allowed_none_is_certain(world):
    """A champion's decision too: the menu has one arm."""
    served = decide(ASKED, Features({"consents": None}, KNOWN.at), MemberState(), world, 0.5)
    assert (served.chosen_arm, served.propensity, served.group) == (NONE, 1.0, CHAMPION)
