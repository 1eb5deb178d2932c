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
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

import msgspec
from sqlalchemy import Connection, Engine, func, select

from training.adapters.answers import AT_ONCE, newest
from training.adapters.log_engine import insert_or_replace, instant, micros, reading, writing
from training.adapters.log_tables import decision_table, outcome_table, recent_table
from training.domain.nouns import NONE, OutcomeKind

COUNTED: Mapping[str, str] = {"messages_7d": "message", "messages_28d": "message", "clicks_28d": "click", "dismissals_28d": "dismiss"}
"""The features that the log can count, and the events that they count."""
ANSWERS = (OutcomeKind.CLICK.value, OutcomeKind.DISMISS.value)

RECORDED = 64
"""Rows of one transaction: who decides waits for no longer one."""

Counts = Mapping[str, float]


class Online(Protocol):
    """What is served of members."""

    def online_members(self, member_ids: Sequence[str]) -> list[dict[str, object]]:
        """Their features and `event_timestamp`, one dict a member in order; {} where unknown."""

    def write_members(self, rows: Mapping[str, Mapping[str, object]]) -> None:
        """Replace their rows, by id; a row of an older event time changes nothing."""

    def materialized(self) -> tuple[datetime, int] | None:
        """Up to when members are online, and by how many materializations; None before the first."""


@dataclass(frozen=True)
class Base:
    """`at` is the event time of a row online, `base` its counts without the log; `before` and `after` are those around the last push."""

    at: datetime
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
        """Push the rows of at most `limit` members that were noted; returns how many had to be written.

        Before `renew` has found a materialization there is nothing to push on; it will note again whoever is forgotten here.
        """
        if self._materialized is None:
            self._waiting.clear()
            return 0
        members = list(self._waiting)[:limit]
        rows = {member: row for member, row in zip(members, self._online.online_members(members), strict=True) if row} if members else {}
        with reading(self._engine) as connection:
            bases = {member: _base(row, known) for (member, row), known in zip(rows.items(), _recorded(connection, rows), strict=True)}
            counted = _counted(connection, bases)
        changed = {member: counted[member] for member, row in rows.items() if counted[member].after != _counts(row)}
        if changed:
            self._record(changed)
            self._online.write_members({member: {**rows[member], **each.after} for member, each in changed.items()})
        for member in members:
            del self._waiting[member]
        return len(changed)

    @property
    def waiting(self) -> int:
        """Members that were noted and not pushed yet."""
        return len(self._waiting)

    def _record(self, changed: Mapping[str, Base]) -> None:
        rows = [
            {
                "member_id": member,
                "base": msgspec.json.encode({"base": each.base, "before": each.before, "after": each.after}).decode(),
                "base_at": micros(each.at),
                "pushed_at": micros(each.at),
            }
            for member, each in changed.items()
        ]
        for some in (rows[i : i + RECORDED] for i in range(0, len(rows), RECORDED)):
            with writing(self._engine) as connection:
                connection.execute(insert_or_replace(connection, recent_table), some)


def _counts(row: Mapping[str, object]) -> dict[str, float]:
    return {name: float(value) if isinstance(value := row[name], (int, float)) else 0.0 for name in COUNTED}


def _base(row: Mapping[str, object], recorded: Base | None) -> Base:
    """What lies under the row online: the recorded base where the row is one of ours, else the row itself."""
    at, counts = row["event_timestamp"], _counts(row)
    if not isinstance(at, datetime):
        raise TypeError(f"The online store gives {at!r} as an event time. Give a datetime.")
    ours = recorded is not None and recorded.at == at and counts in (recorded.before, recorded.after)
    return Base(at, recorded.base if ours and recorded else counts, counts, counts)


def _recorded(connection: Connection, members: Iterable[str]) -> list[Base | None]:
    wanted = list(members)
    found = {row.member_id: row for row in connection.execute(select(recent_table).where(recent_table.c.member_id.in_(wanted)))}
    return [Base(instant(row.base_at), **msgspec.json.decode(row.base)) if (row := found.get(member)) else None for member in wanted]


def _counted(connection: Connection, bases: Mapping[str, Base]) -> dict[str, Base]:
    """The bases with what has to be online now as `after`."""
    by_time: dict[datetime, list[str]] = defaultdict(list)
    for member, base in bases.items():
        by_time[base.at].append(member)
    events: dict[tuple[str, str], int] = {}
    for at, members in by_time.items():
        events |= _events(connection, members, micros(at))
    return {member: replace(base, after=_sums(member, base, events)) for member, base in bases.items()}


def _sums(member: str, base: Base, events: Mapping[tuple[str, str], int]) -> Counts:
    return {name: base.base[name] + events.get((member, event), 0) for name, event in COUNTED.items()}


def _events(connection: Connection, members: Sequence[str], since: int) -> dict[tuple[str, str], int]:
    """How many messages, clicks and dismissals each of `members` had at or after `since`, microseconds; by member and event."""
    found: dict[tuple[str, str], int] = {}
    d, o = decision_table.c, outcome_table.c
    for start in range(0, len(members), AT_ONCE):
        some = members[start : start + AT_ONCE]
        shown = select(d.member_id, func.count()).where(d.member_id.in_(some), d.decided_at >= since, d.channel_id.is_not(None)).group_by(d.member_id)
        found |= {(member, "message"): count for member, count in connection.execute(shown)}
        answers = select(o.member_id, o.kind, func.count()).where(o.member_id.in_(some), o.occurred_at >= since, o.kind.in_(ANSWERS))
        found |= {(member, kind): count for member, kind, count in connection.execute(answers.group_by(o.member_id, o.kind))}
    return found


def _since(connection: Connection, at: datetime) -> list[str]:
    """The members who had any of these events at or after `at`."""
    d, o, since = decision_table.c, outcome_table.c, micros(at)
    shown = select(d.member_id).where(d.decided_at >= since, d.chosen_arm != NONE)
    return list(connection.execute(shown.union(select(o.member_id).where(o.occurred_at >= since, o.kind.in_(ANSWERS))).order_by("member_id")).scalars())
