"""The members' recent features: what the log counted since the last materialization, laid over what that one left online.

Counts are derived, never added up: base (what a materialization left, kept in `recent_members`) + events of the log since its event time. So a push may be
repeated at any time, and nothing is counted twice. The pushed row keeps the event time of its base: the rest of it is no younger, and the next materialization
replaces it. Whether a row online is ours or a materialization's is told by its counts: each push records first what it found and what it writes, and whatever
is neither is a new base.

They are the counts that dbt gives for the same events (`dbt/models/features/member_events.sql`), as long as none leaves its window: that waits for the next
materialization. Visits, purchases and subscriptions are told by other tables than decisions and outcomes; a conversion is told of again by those.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple, Protocol

import msgspec
from sqlalchemy import Connection, Engine, func, select

from training.adapters.answers import AT_ONCE, newest
from training.adapters.log_engine import insert_or_replace, micros, reading, write_parts
from training.adapters.log_tables import decision_table, outcome_table, recent_table
from training.domain.nouns import NONE, OutcomeKind

ANSWERS = (OutcomeKind.CLICK.value, OutcomeKind.DISMISS.value)

RECORDED = 16
"""Rows of one transaction: who decides waits for no longer one."""


class Counts(msgspec.Struct, frozen=True):
    """The features that the log can count, of one member."""

    messages_7d: float
    messages_28d: float
    clicks_28d: float
    dismissals_28d: float

    @classmethod
    def of(cls, values: Iterable[object]) -> Counts:
        """From a row online, in their order; null counts as 0, and so does NaN, which Feast takes for it."""
        return cls(*(float(value) if isinstance(value, (int, float)) and value == value else 0.0 for value in values))  # noqa: PLR0124 - NaN alone is not

    def plus(self, messages: int, clicks: int, dismissals: int) -> Counts:
        """With so many events more."""
        return Counts(self.messages_7d + messages, self.messages_28d + messages, self.clicks_28d + clicks, self.dismissals_28d + dismissals)


COUNTED = Counts.__struct_fields__


class Found(NamedTuple):
    """A member's row online: its event time in microseconds, of which only whole seconds are served, its counts, and the row as its store takes it back."""

    at: int
    counts: Counts
    row: Any

    @classmethod
    def of(cls, row: Mapping[str, object]) -> Found | None:
        """From features and `event_timestamp`; None where there are none."""
        if not row:
            return None
        at = row["event_timestamp"]
        if not isinstance(at, datetime):
            raise TypeError(f"The online store gives {at!r} as an event time. Give a datetime.")
        return cls(micros(at), Counts.of(row[name] for name in COUNTED), row)


class Online(Protocol):
    """What is served of members."""

    def counts_online(self, member_ids: Sequence[str]) -> list[Found | None]:
        """Their rows, in order; None where unknown."""

    def write_counts(self, rows: Mapping[str, tuple[Found, Counts]]) -> int:
        """Replace the counts of these members in the rows that were found, and nothing else of them; returns how many were. A row that somebody wrote
        meanwhile is left as it is.
        """

    def materialized(self) -> tuple[datetime, int] | None:
        """Up to when members are online, and by how many materializations; None before the first."""


class Pushed(msgspec.Struct, frozen=True):
    """What is kept of a member: the counts without the log, and those around the last push."""

    base: Counts
    before: Counts
    after: Counts


class Recent:
    """Pushes the rows of members of whom something is new. One at a time for a log, as the learner."""

    def __init__(self, engine: Engine, online: Online) -> None:
        self._engine, self._online = engine, online
        self._materialized: tuple[datetime, int] | None = None
        self._waiting: dict[str, None] = {}
        with reading(engine) as connection:
            self._reached = {table.name: newest(connection, table) for table in (decision_table, outcome_table)}

    def look(self, limit: int) -> bool:
        """Note the members of the next `limit` decisions and outcomes; returns whether there are more than that."""
        more = False
        with reading(self._engine) as connection:
            for table, kind, wanted in ((decision_table, decision_table.c.chosen_arm, None), (outcome_table, outcome_table.c.kind, ANSWERS)):
                query = select(table.c.seq, table.c.member_id, kind).where(table.c.seq > self._reached[table.name]).order_by(table.c.seq).limit(limit)
                rows = connection.execute(query).all()
                self._waiting |= {member: None for _, member, said in rows if (said != NONE if wanted is None else said in wanted)}
                self._reached[table.name] = rows[-1].seq if rows else self._reached[table.name]
                more = more or len(rows) == limit
        return more

    def renew(self) -> bool:
        """Note every member of whom there are events since the last materialization, where that one is new; returns whether it was.

        It has replaced the rows that were pushed before, and knows nothing of what happened between its event time and now. The first call always finds one.
        """
        found = self._online.materialized()
        if found is None or found == self._materialized:
            return False
        with reading(self._engine) as connection:
            self._waiting |= dict.fromkeys(_since(connection, found[0]))
        self._materialized = found
        return True

    def push(self, limit: int) -> int:
        """Push the rows of at most `limit` members that were noted; returns how many were written. Where somebody else wrote one meanwhile all stay noted.

        Before `renew` has found a materialization there is nothing to push on; it will note again whoever is forgotten here.
        """
        if self._materialized is None:
            self._waiting.clear()
            return 0
        members = list(islice(self._waiting, limit))
        found = {member: row for member, row in zip(members, self._online.counts_online(members), strict=True) if row} if members else {}
        with reading(self._engine) as connection:
            counted = _counted(connection, found)
        changed = {member: each for member, each in counted.items() if each.after != each.before}
        written = 0
        if changed:
            self._record(found, changed)
            written = self._online.write_counts({member: (found[member], each.after) for member, each in changed.items()})
        if written == len(changed):
            for member in members:
                del self._waiting[member]
        return written

    @property
    def waiting(self) -> int:
        """Members that were noted and not pushed yet."""
        return len(self._waiting)

    def _record(self, found: Mapping[str, Found], changed: Mapping[str, Pushed]) -> None:
        rows = [
            {"member_id": member, "base": _ENCODER.encode(each).decode(), "base_at": found[member].at, "pushed_at": found[member].at}
            for member, each in changed.items()
        ]
        write_parts(self._engine, insert_or_replace(self._engine, recent_table), (rows[i : i + RECORDED] for i in range(0, len(rows), RECORDED)))


_ENCODER, _DECODER = msgspec.json.Encoder(), msgspec.json.Decoder(Pushed)


def _counted(connection: Connection, found: Mapping[str, Found]) -> dict[str, Pushed]:
    """What has to be online now as `after`, over what lies under each row: the base that was recorded where the row is one of ours, else the row itself."""
    by_time: dict[int, list[str]] = defaultdict(list)
    for member, row in found.items():
        by_time[row.at].append(member)
    recorded = _recorded(connection, found) if found else {}
    counted: dict[str, Pushed] = {}
    for at, members in by_time.items():
        messages, clicks, dismissals = _events(connection, members, at)
        for member in members:
            base, counts = recorded.get(member), found[member].counts
            without = base.base if base is not None and counts in (base.before, base.after) else counts
            after = without.plus(messages.get(member, 0), clicks.get(member, 0), dismissals.get(member, 0))
            counted[member] = Pushed(without, counts, after)
    return counted


def _recorded(connection: Connection, found: Mapping[str, Found]) -> dict[str, Pushed]:
    """What was kept of them at the event time of their rows; what cannot be read was kept of no count."""
    columns, known = recent_table.c, dict[str, Pushed]()
    for member, base, at in connection.execute(select(columns.member_id, columns.base, columns.base_at).where(columns.member_id.in_(found))):
        if at == found[member].at:
            with suppress(msgspec.ValidationError):
                known[member] = _DECODER.decode(base)
    return known


def _events(connection: Connection, members: Sequence[str], since: int) -> tuple[Mapping[str, int], Mapping[str, int], Mapping[str, int]]:
    """How many messages, clicks and dismissals each of `members` had at or after `since`, microseconds; who had none is left out."""
    d, o = decision_table.c, outcome_table.c
    messages: dict[str, int] = {}
    answers: dict[str, dict[str, int]] = {kind: {} for kind in ANSWERS}
    for start in range(0, len(members), AT_ONCE):
        some = members[start : start + AT_ONCE]
        shown = select(d.member_id, func.count()).where(d.member_id.in_(some), d.decided_at >= since, d.channel_id.is_not(None)).group_by(d.member_id)
        messages |= {member: count for member, count in connection.execute(shown)}  # noqa: C416 - dict() would take the result for a mapping
        told = select(o.member_id, o.kind, func.count()).where(o.member_id.in_(some), o.occurred_at >= since, o.kind.in_(ANSWERS))
        for member, kind, count in connection.execute(told.group_by(o.member_id, o.kind)):
            answers[kind][member] = count
    return messages, answers[OutcomeKind.CLICK.value], answers[OutcomeKind.DISMISS.value]


def _since(connection: Connection, at: datetime) -> list[str]:
    """The members who had any of these events at or after `at`."""
    d, o, since = decision_table.c, outcome_table.c, micros(at)
    shown = select(d.member_id).where(d.decided_at >= since, d.chosen_arm != NONE)
    return list(connection.execute(shown.union(select(o.member_id).where(o.occurred_at >= since, o.kind.in_(ANSWERS))).order_by("member_id")).scalars())
