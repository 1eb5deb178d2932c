"""Which arms a member may be shown now, and why not the others. Fails closed: whatever is not known to be allowed is not feasible."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from training.config.serving import CapSettings
from training.domain.catalog import Catalog
from training.domain.nouns import NONE, Surface
from training.domain.served import Asked, MemberState

DAY, WEEK = timedelta(days=1), timedelta(days=7)
REMEMBERED = 512
"""Menus that are kept: members differ in few ways."""


@dataclass(frozen=True, slots=True)
class Menu:
    """Feasible arms by position in the champion's book and by id, `none` first; `excluded` gives the reason of each other arm of the surface."""

    positions: tuple[int, ...]
    arms: tuple[str, ...]
    excluded: Mapping[str, str]


class Menus:
    """Menus of one catalog; `arm_ids` is the order of the champion's book, `none` first."""

    def __init__(self, catalog: Catalog, caps: CapSettings) -> None:
        self.catalog, self.caps = catalog, caps
        self.arm_ids = (NONE, *catalog.arms)
        self._where = {arm: i for i, arm in enumerate(self.arm_ids)}
        self._channels = {s: tuple(c.channel_id for c in catalog.channels.values() if c.surface is s) for s in Surface}
        self._arms = {name: tuple(a.arm_id for a in catalog.arms.values() if a.channel_id == name) for name in catalog.channels}
        self._known: dict[object, Menu] = {}

    def menu(self, asked: Asked, consents: frozenset[str], state: MemberState, paused: frozenset[str]) -> Menu:
        """What `asked` may be answered with, from the member's consents, what the log knows of the member, and the paused arms."""
        closed = tuple((name, self._closed(name, asked, consents, state)) for name in self._channels[asked.context.surface])
        if asked.exclude and not self._where.keys().isdisjoint(asked.exclude):  # callers differ in what they rule out
            return self._build(closed, asked.exclude, paused)
        key = (closed, paused)
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            found = self._known[key] = self._build(closed, (), paused)
        return found

    def _closed(self, channel: str, asked: Asked, consents: frozenset[str], state: MemberState) -> str:
        """Why nothing may go through `channel`, or an empty text."""
        if asked.channels is not None and channel not in asked.channels:
            return f"channel {channel} was not asked for"
        if channel in state.withdrawn:
            return f"consent for {channel} was withdrawn"
        if self.catalog.channels[channel].needs_consent and channel not in consents:
            return f"no consent for {channel}"
        return capped(state.messages, channel, asked.at, self.caps)

    def _build(self, closed: Iterable[tuple[str, str]], exclude: Iterable[str], paused: frozenset[str]) -> Menu:
        excluded: dict[str, str] = {}
        allowed = [NONE]
        ruled_out = set(exclude)
        for channel, why in closed:
            for arm in self._arms[channel]:
                reason = why or ("arm is paused" if arm in paused else "excluded by the request" if arm in ruled_out else "")
                if reason:
                    excluded[arm] = reason
                else:
                    allowed.append(arm)
        allowed.sort(key=self._where.__getitem__)
        return Menu(tuple(self._where[a] for a in allowed), tuple(allowed), excluded)


def capped(messages: Iterable[tuple[str, datetime]], channel: str, now: datetime, caps: CapSettings) -> str:
    """Which cap one more message through `channel` would exceed, or an empty text. Messages after `now` count: a clock that jumped back opens no cap."""
    day = [name for name, at in messages if at > now - DAY]
    week = [name for name, at in messages if at > now - WEEK]
    for limit, count, words in (
        (caps.day, len(day), "messages in 24 hours"),
        (caps.week, len(week), "messages in 7 days"),
        (caps.channel_day, day.count(channel), f"messages through {channel} in 24 hours"),
        (caps.channel_week, week.count(channel), f"messages through {channel} in 7 days"),
    ):
        if count >= limit:
            return f"cap reached: {limit} {words}"
    return ""


def agreed(consents: object) -> frozenset[str]:
    """Channels of a `consents` feature; nothing where it is missing."""
    return frozenset(part for c in str(consents or "").split(",") if (part := c.strip()))
