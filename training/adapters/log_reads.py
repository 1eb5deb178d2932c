"""Single decisions and what followed them, as readers of the log ask for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from training.adapters.log_engine import instant
from training.adapters.log_record import Row, keepable, served_of
from training.adapters.log_tables import decision_table, outcome_table
from training.domain.nouns import Outcome, OutcomeKind
from training.domain.served import MemberState, Served


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


def find(connection: Connection, decision_id: str) -> Served | None:
    """One decision, or None."""
    if not keepable(decision_id, _DECISION_ID):
        return None
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


_d, _o, _DECISION_ID = decision_table.c, outcome_table.c, 64
_COLUMNS = [c for c in _d if c.name != "seq"]
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
