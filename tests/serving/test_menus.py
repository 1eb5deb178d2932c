"""Which arms are feasible, on the simulated catalog and by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from serving.menus import Menus, agreed, capped
from training.config.serving import CapSettings
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.nouns import NONE, Context, Surface
from training.domain.served import Asked, MemberState

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
CAPS = CapSettings(day=1, week=3, channel_day=1, channel_week=2)
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def menus():
    """Of the simulated catalog."""
    return Menus(load_catalog(Settings().catalog), CAPS)


def asked(surface=Surface.OUTBOUND, **more):
    """A question at noon."""
    return Asked("d", "r", "m", NOW, Context(surface, 12, 1), **more)


def test_without_consent_nothing_outbound_is_feasible(menus):
    """And every arm of the surface says why."""
    menu = menus.menu(asked(), frozenset(), MemberState(), frozenset())
    assert menu.arms == (NONE,)
    assert menu.positions == (0,)
    assert {why.split(" for ")[0] for why in menu.excluded.values()} == {"no consent"}


def test_the_menu_is_that_of_the_catalog(menus):
    """Same arms, same order, positions in the champion's book."""
    menu = menus.menu(asked(), frozenset({"email", "sms"}), MemberState(), frozenset())
    assert list(menu.arms) == menus.catalog.feasible(Surface.OUTBOUND, ["email", "sms"])
    assert [menus.arm_ids[i] for i in menu.positions] == list(menu.arms)


@pytest.mark.parametrize(
    ("more", "state", "paused", "why"),
    [
        ({"channels": ("sms",)}, MemberState(), frozenset(), "channel email was not asked for"),
        ({}, MemberState(withdrawn=frozenset({"email"})), frozenset(), "consent for email was withdrawn"),
        ({}, MemberState((("sms", NOW - HOUR),)), frozenset(), "cap reached: 1 messages in 24 hours"),
        ({}, MemberState((("email", NOW - 48 * HOUR), ("email", NOW - 72 * HOUR))), frozenset(), "cap reached: 2 messages through email in 7 days"),
    ],
)
def test_a_closed_channel_says_why(menus, more, state, paused, why):
    """No arm of e-mail is feasible, for that reason."""
    menu = menus.menu(asked(**more), frozenset({"email", "sms"}), state, paused)
    mail = [a.arm_id for a in menus.catalog.arms.values() if a.channel_id == "email"]
    assert {menu.excluded[arm] for arm in mail} == {why}
    assert not set(mail) & set(menu.arms)


def test_paused_and_excluded_arms(menus):
    """Each by itself, the others stay."""
    first, second = menus.catalog.feasible(Surface.OUTBOUND, ["email"])[1:3]
    menu = menus.menu(asked(exclude=(first,)), frozenset({"email"}), MemberState(), frozenset({second}))
    assert (menu.excluded[first], menu.excluded[second]) == ("excluded by the request", "arm is paused")
    assert not {first, second} & set(menu.arms)
    assert len(menu.arms) > 1


def test_a_menu_is_made_anew_only_where_an_arm_is_ruled_out(menus):
    """A name that is no arm's changes nothing; the same object is looked up faster."""
    plain, named, without = (
        menus.menu(asked(Surface.WEB, exclude=names), frozenset(), MemberState(), frozenset()) for names in ((), ("no arm",), (menus.arm_ids[1],))
    )
    assert named is plain
    assert without is not plain


def test_caps_count_a_window_that_is_open_at_its_start():
    """Exactly 24 hours ago no longer counts; the future, after a clock jumped back, does."""
    assert capped([("email", NOW - 24 * HOUR)], "email", NOW, CAPS) == ""
    assert "24 hours" in capped([("sms", NOW - 24 * HOUR + timedelta(microseconds=1))], "email", NOW, CAPS)
    assert "24 hours" in capped([("sms", NOW + 900 * HOUR)], "email", NOW, CAPS)
    assert "0 messages" in capped([], "email", NOW, CapSettings(day=0))


@pytest.mark.parametrize(
    ("caps", "window", "words"),
    [
        (CapSettings(day=2, week=99, channel_day=99, channel_week=99), 24 * HOUR, "cap reached: 2 messages in 24 hours"),
        (CapSettings(day=99, week=2, channel_day=99, channel_week=99), 168 * HOUR, "cap reached: 2 messages in 7 days"),
        (CapSettings(day=99, week=99, channel_day=2, channel_week=99), 24 * HOUR, "cap reached: 2 messages through email in 24 hours"),
        (CapSettings(day=99, week=99, channel_day=99, channel_week=2), 168 * HOUR, "cap reached: 2 messages through email in 7 days"),
    ],
)
def test_each_cap_counts_its_own_messages_in_its_own_window(caps, window, words):
    """The one that leaves the window makes room; messages through another channel count where all channels are counted together, and nowhere else."""
    young, old, edge = NOW - HOUR, NOW - window, NOW - window + timedelta(microseconds=1)
    assert capped([("email", young), ("email", edge)], "email", NOW, caps) == words
    assert capped([("email", young), ("email", old)], "email", NOW, caps) == ""
    assert capped([("email", young), ("sms", edge)], "email", NOW, caps) == ("" if "through" in words else words)


def test_consents_are_read_as_they_are_written():
    """Commas, blanks, nothing."""
    assert agreed(" email, push,,") == {"email", "push"}
    assert agreed(None) == agreed("") == frozenset()
