"""What is asked of the log again and again: statements that SQLAlchemy compiles once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, Connection, bindparam, cast, null, select

from training.adapters.log_engine import instant, micros
from training.adapters.log_record import Row, served_of
from training.adapters.log_tables import decision_table, outcome_table, withdrawal_table
from training.domain.nouns import Outcome, OutcomeKind
from training.domain.served import MemberState, Served

REMEMBERED = timedelta(days=7)
"""The longest window of a cap: messages of less than this age are read."""


@dataclass(frozen=True)
class Known:
    """State of every member that was asked for, and the decisions that stand already, by their request ids."""

    states: Mapping[str, MemberState]
    earlier: Mapping[str, Served]


@dataclass(frozen=True)
class Event:
    """One outcome with its place in the log and the decision that it belongs to."""

    seq: int
    outcome: Outcome
    received_at: datetime
    served: Served


def known(connection: Connection, members: Collection[str], request_ids: Collection[str], now: datetime) -> Known:
    """States as of `now` and earlier decisions."""
    return Known(states(connection, members, now), earlier(connection, request_ids))


def states(connection: Connection, members: Collection[str], now: datetime) -> dict[str, MemberState]:
    """Messages oldest first; those that a clock ahead of `now` dated into the future count too."""
    asked = {"members": list(members)}
    messages, gone = defaultdict[str, list[tuple[str, datetime]]](list), defaultdict[str, set[str]](set)
    for member, channel, at in connection.execute(_STATES, {**asked, "since": micros(now - REMEMBERED)}):
        if at is None:
            gone[member].add(channel)
        else:
            messages[member].append((channel, instant(at)))
    return {m: MemberState(tuple(messages.get(m, ())), frozenset(gone.get(m, ()))) for m in members}


def withdrawn(connection: Connection, members: Collection[str]) -> dict[str, frozenset[str]]:
    """Channels that may not reach a member any more; members without any are left out."""
    found = defaultdict[str, set[str]](set)
    for member, channel in connection.execute(_WITHDRAWN, {"members": list(members)}):
        found[member].add(channel)
    return {member: frozenset(channels) for member, channels in found.items()}


def earlier(connection: Connection, request_ids: Collection[str]) -> dict[str, Served]:
    """Decisions by request id; raises DataError for one that is damaged."""
    rows = connection.execute(_EARLIER, {"requests": list(request_ids)}).mappings() if request_ids else ()
    return {row["request_id"]: served_of(row) for row in rows}


def find(connection: Connection, decision_id: str) -> Served | None:
    """One decision, or None."""
    row = connection.execute(_FIND, {"decision": decision_id}).mappings().first()
    return None if row is None else served_of(row)


def outcomes_of(connection: Connection, decision_id: str) -> list[Outcome]:
    """Outcomes of one decision in the order in which they came."""
    return [outcome_of(row) for row in connection.execute(_OUTCOMES, {"decision": decision_id}).mappings()]


def events(connection: Connection, after_seq: int, limit: int) -> list[Event]:
    """Up to `limit` outcomes behind `after_seq`, each with its decision."""
    rows = connection.execute(_EVENTS, {"after": after_seq, "limit": limit}).mappings()
    return [Event(r["seq"], outcome_of(r), instant(r["received_at"]), served_of(r)) for r in rows]


def decisions_since(connection: Connection, after_seq: int, limit: int) -> list[tuple[int, Served]]:
    """Up to `limit` decisions behind `after_seq`, each with its `seq`."""
    return [(r["seq"], served_of(r)) for r in connection.execute(_SINCE, {"after": after_seq, "limit": limit}).mappings()]


def outcome_of(row: Row) -> Outcome:
    """An outcome as the domain's noun."""
    return Outcome(row["outcome_id"], row["decision_id"], OutcomeKind(row["kind"]), instant(row["occurred_at"]), row["value"])


def unique(ids: Sequence[str]) -> list[str]:
    """Each id once, in order."""
    return list(dict.fromkeys(ids))


_d, _o, _w = decision_table.c, outcome_table.c, withdrawal_table.c
_COLUMNS = [c for c in _d if c.name != "seq"]
_STATES = (
    select(_d.member_id, _d.channel_id, _d.decided_at.label("at"))
    .where(_d.member_id.in_(bindparam("members", expanding=True)), _d.decided_at > bindparam("since"), _d.channel_id.is_not(None))
    .union_all(select(_w.member_id, _w.channel_id, cast(null(), BigInteger)).where(_w.member_id.in_(bindparam("members", expanding=True))))
    .order_by("at")
)
"""Messages with their instants, and withdrawn channels without one."""
_WITHDRAWN = select(_w.member_id, _w.channel_id).where(_w.member_id.in_(bindparam("members", expanding=True)))
_EARLIER = select(*_COLUMNS).where(_d.request_id.in_(bindparam("requests", expanding=True)))
_FIND = select(*_COLUMNS).where(_d.decision_id == bindparam("decision"))
_OUTCOMES = select(outcome_table).where(_o.decision_id == bindparam("decision")).order_by(_o.seq)
_EVENTS = (
    select(*_COLUMNS, _o.seq, _o.outcome_id, _o.kind, _o.occurred_at, _o.value, _o.received_at)
    .join_from(outcome_table, decision_table, _o.decision_id == _d.decision_id)
    .where(_o.seq > bindparam("after"))
    .order_by(_o.seq)
    .limit(bindparam("limit"))
)
_SINCE = select(decision_table).where(_d.seq > bindparam("after")).order_by(_d.seq).limit(bindparam("limit"))
