"""What happened after a decision, judged one by one and kept once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from math import isfinite
from typing import Any

from sqlalchemy import Connection, Row, bindparam, insert, select

from training.adapters.log_engine import in_order, insert_new, instant, lock, micros
from training.adapters.log_reads import outcome_of
from training.adapters.log_record import keepable
from training.adapters.log_tables import decision_table, outcome_table, withdrawal_table
from training.config.serving import Clock
from training.domain.labels import WINDOWS
from training.domain.nouns import NONE, Outcome, OutcomeKind

AHEAD = timedelta(minutes=5)
"""How far a sender's clock may be ahead of ours."""
WHOLE = timedelta(seconds=1)
"""What a sender who tells whole seconds leaves out: an outcome that lies less than this before its decision happened at its instant."""
LONGEST = 128
"""Characters of an outcome's id, as its column has it."""
CLOSED = max(window.closes for window in WINDOWS.values())
"""Age of a decision at which its last label can no longer change."""


class Answer(StrEnum):
    """What became of one outcome."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"
    REFUSED = "refused"


@dataclass(frozen=True)
class Receipt:
    """The answer to one outcome; `why` says what is wrong with a refused one."""

    outcome_id: str
    answer: Answer
    why: str = ""


def append_outcomes(connection: Connection, outcomes: Sequence[Outcome], received_at: datetime, clock: Clock = Clock.WALL) -> list[Receipt]:
    """Receipts in order. What is accepted is kept, and an opt-out withdraws the channel of its decision's arm with it.

    What lies less than `WHOLE` before its decision is kept at the decision's instant, so that nobody reads an outcome that precedes its decision.
    By the data's clock an outcome that happens after `received_at` is received when it happens.
    """
    named = {o.decision_id for o in outcomes if keepable(o.decision_id, _DECISION_ID)}
    decisions = {row.decision_id: row for row in connection.execute(_DECISIONS, {"ids": list(named)})}
    outcomes = [_dated(o, decisions.get(o.decision_id)) for o in outcomes]
    leaving = {decisions[o.decision_id].member_id for o in outcomes if o.kind is OutcomeKind.OPT_OUT and o.decision_id in decisions}
    lock_members(connection, leaving)
    in_order(connection, outcome_table)
    ids = {o.outcome_id for o in outcomes if keepable(o.outcome_id, LONGEST)}
    kept = {row["outcome_id"]: outcome_of(row) for row in connection.execute(_KEPT, {"ids": list(ids)}).mappings()}
    receipts, new = [], list[Outcome]()
    for outcome in outcomes:
        receipts.append(_receipt(outcome, kept.get(outcome.outcome_id), decisions.get(outcome.decision_id), None if clock is Clock.DATA else received_at))
        if receipts[-1].answer is Answer.ACCEPTED:
            kept[outcome.outcome_id] = outcome
            new.append(outcome)
    _keep(connection, new, decisions, micros(received_at), clock)
    return receipts


def lock_members(connection: Connection, members: Sequence[str] | set[str]) -> None:
    """Nobody else decides on `members`, or withdraws their consent, until the transaction ends."""
    lock(connection, [f"member {m}" for m in members])


def refusal(outcome: Outcome, decided_at: datetime, chosen_arm: str, received_at: datetime | None) -> str:
    """Why an outcome of this decision cannot have happened; empty where it can. Without `received_at` it may lie in the future."""
    at, kind = outcome.occurred_at, outcome.kind.value
    if chosen_arm == NONE and outcome.kind is not OutcomeKind.CONVERSION:
        return f"decision {outcome.decision_id} showed nothing, so there is nothing that a {kind} could follow"
    if at < decided_at:
        return f"occurred_at {at.isoformat()} lies before its decision, {decided_at.isoformat()}"
    if received_at is not None and at > received_at + AHEAD:
        return f"occurred_at {at.isoformat()} lies more than {AHEAD.seconds // 60} minutes after {received_at.isoformat()}, when it was received"
    if at >= decided_at + CLOSED:
        return f"occurred_at {at.isoformat()} lies {CLOSED.days} days or more after its decision, when its last label had closed"
    if outcome.value is not None and not (isfinite(outcome.value) and outcome.value >= 0):
        return f"value {outcome.value} of a {kind} is not money: a finite number, 0 or more"
    return ""


def _dated(outcome: Outcome, decision: Row[Any] | None) -> Outcome:
    """As it is kept, and compared with what was kept: not before its decision where that is only for want of a fraction of a second."""
    if decision is None or outcome.occurred_at.tzinfo is None:
        return outcome
    decided_at = instant(decision.decided_at)
    return replace(outcome, occurred_at=decided_at) if decided_at - WHOLE < outcome.occurred_at < decided_at else outcome


def _receipt(outcome: Outcome, kept: Outcome | None, decision: Row[Any] | None, received_at: datetime | None) -> Receipt:
    if not (outcome.outcome_id and keepable(outcome.outcome_id, LONGEST)):
        return Receipt(outcome.outcome_id, Answer.REFUSED, f"outcome_id is not 1 to {LONGEST} characters that every database keeps")
    if outcome.occurred_at.tzinfo is None:
        return Receipt(outcome.outcome_id, Answer.REFUSED, f"occurred_at {outcome.occurred_at.isoformat()} has no time zone")
    if kept is not None:
        if kept == outcome:
            return Receipt(outcome.outcome_id, Answer.REPEATED)
        return Receipt(outcome.outcome_id, Answer.REFUSED, f"differs from what was accepted as {outcome.outcome_id} before; an outcome never changes")
    if decision is None:
        return Receipt(outcome.outcome_id, Answer.REFUSED, f"decision {outcome.decision_id} is not in the log")
    why = refusal(outcome, instant(decision.decided_at), decision.chosen_arm, received_at)
    return Receipt(outcome.outcome_id, Answer.REFUSED if why else Answer.ACCEPTED, why)


def _keep(connection: Connection, outcomes: Sequence[Outcome], decisions: Mapping[str, Row[Any]], received_at: int, clock: Clock) -> None:
    at = {o.outcome_id: max(received_at, micros(o.occurred_at)) if clock is Clock.DATA else received_at for o in outcomes}
    if outcomes:
        connection.execute(insert(outcome_table), [_row(o, decisions[o.decision_id].member_id, at[o.outcome_id]) for o in outcomes])
    gone = [decisions[o.decision_id] for o in outcomes if o.kind is OutcomeKind.OPT_OUT]
    if gone:
        rows = [{"member_id": d.member_id, "channel_id": d.channel_id, "withdrawn_at": received_at} for d in gone]
        connection.execute(insert_new(connection, withdrawal_table), rows)


def _row(outcome: Outcome, member_id: str, received_at: int) -> dict[str, Any]:
    return {
        "outcome_id": outcome.outcome_id,
        "decision_id": outcome.decision_id,
        "member_id": member_id,
        "kind": outcome.kind.value,
        "occurred_at": micros(outcome.occurred_at),
        "value": None if outcome.value is None else float(outcome.value),
        "received_at": received_at,
    }


_d, _DECISION_ID = decision_table.c, 64
_DECISIONS = select(_d.decision_id, _d.member_id, _d.decided_at, _d.chosen_arm, _d.channel_id).where(_d.decision_id.in_(bindparam("ids", expanding=True)))
_KEPT = select(outcome_table).where(outcome_table.c.outcome_id.in_(bindparam("ids", expanding=True)))
