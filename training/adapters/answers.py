"""The learner's side of the decision log: what came in since it last looked, and what it has learned from that, exactly once.

`seq` grows in the order of the commits (`log_engine.in_order`), so whoever reads on from the last one misses none.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, Select, Table, func, insert, select, update

from training.adapters.log_engine import insert_new, instant, reading, writing
from training.adapters.log_record import served_of
from training.adapters.log_tables import answer_table, arms_table, cursor_table, decision_table, outcome_table
from training.domain.errors import DataError, NotReadyError
from training.domain.nouns import OutcomeKind
from training.domain.served import Served
from training.model.funnel import Stage
from training.model.online import TOLD_BY, Answer, ArmFeatures, Followed

AT_ONCE = 5_000
"""Ids in one statement at most, and rows of answers that are read together."""


class Batch(NamedTuple):
    """Ids of decisions, and how far a cursor comes by them; `more` says that the limit cut them off."""

    ids: Sequence[str]
    reached: int
    more: bool


@dataclass(frozen=True)
class Material:
    """One decision, what followed it, and what a model has learned from it already."""

    served: Served
    followed: Followed
    known: Mapping[Stage, int]


def newest(connection: Connection, table: Table) -> int:
    """The last `seq` of a table; 0 where it is empty."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.seq), 0))).scalar_one())


def cursors(connection: Connection, names: Sequence[str]) -> dict[str, int]:
    """Those of `names` that were ever set."""
    found = connection.execute(select(cursor_table).where(cursor_table.c.name.in_(names)))
    return {row.name: row.value for row in found}


def keep_cursors(connection: Connection, values: Mapping[str, int]) -> None:
    """Set cursors within the open transaction."""
    for name, value in values.items():
        connection.execute(insert_new(connection, cursor_table).values(name=name, value=value))
        connection.execute(update(cursor_table).where(cursor_table.c.name == name).values(value=value))


def answered(connection: Connection, after: int, limit: int) -> Batch:
    """Decisions for which the first `limit` outcomes beyond seq `after` may answer something."""
    outcomes = outcome_table.c
    rows = connection.execute(select(outcomes.seq, outcomes.decision_id, outcomes.kind).where(outcomes.seq > after).order_by(outcomes.seq).limit(limit)).all()
    telling = (row.decision_id for row in rows if row.kind in TOLD_BY.values())
    return Batch(tuple(dict.fromkeys(telling)), rows[-1].seq if rows else after, len(rows) == limit)


def closed(connection: Connection, after: int, until: int, limit: int) -> Batch:
    """About `limit` decisions taken in (`after`, `until`], microseconds, the earliest first; those of one instant stay together.

    A cursor stands at a decision: beyond the last one a clock that is far ahead for one look would take it past decisions that are still to come.
    """
    at = decision_table.c.decided_at
    span = select(at).where(at > after, at <= until).order_by(at)  # empty where a clock jumped back
    last = connection.execute(span.offset(limit - 1).limit(1)).scalar()
    ends = until if last is None else int(last)
    rows = connection.execute(select(decision_table.c.decision_id, at).where(at > after, at <= ends).order_by(at, decision_table.c.seq)).all()
    reached = rows[-1].decided_at if rows else connection.execute(select(func.max(at)).where(at <= after)).scalar()
    return Batch(tuple(row.decision_id for row in rows), after if reached is None else int(reached), last is not None)


def late(connection: Connection, after: int, before: int, limit: int) -> Batch:
    """Of the first `limit` decisions beyond seq `after` those taken at or before `before`, microseconds: they came when their window had been looked at."""
    columns = decision_table.c
    rows = connection.execute(
        select(columns.seq, columns.decision_id, columns.decided_at).where(columns.seq > after).order_by(columns.seq).limit(limit),
    ).all()
    return Batch(tuple(row.decision_id for row in rows if row.decided_at <= before), rows[-1].seq if rows else after, len(rows) == limit)


def first_outcome(connection: Connection, since: int) -> int:
    """The last `seq` before any outcome that happened after `since`, microseconds."""
    outcomes = outcome_table.c
    first = connection.execute(select(func.min(outcomes.seq)).where(outcomes.occurred_at > since)).scalar()
    return newest(connection, outcome_table) if first is None else int(first) - 1


def material(connection: Connection, version: str, ids: Sequence[str]) -> tuple[list[Material], list[str]]:
    """Those decisions in the order of the log with what model `version` needs of them, and the complaints about damaged ones."""
    found, damaged = [], list[str]()
    outcomes, known = _outcomes(connection, ids), _known(connection, version, ids)
    for row in _rows(connection, select(decision_table), decision_table.c.decision_id, ids, order=decision_table.c.seq):
        try:
            served = served_of(row)
        except DataError as error:
            damaged.append(str(error))
            continue
        followed = Followed(served.asked.at, outcomes[served.asked.decision_id])
        found.append(Material(served, followed, known[served.asked.decision_id]))
    there = _versions(connection, {each.served.arms_version for each in found})
    damaged += [f"Decision {m.served.asked.decision_id!r}: {_no_arms(m.served.arms_version)}" for m in found if m.served.arms_version not in there]
    return [each for each in found if each.served.arms_version in there], damaged


def keep(engine: Engine, version: str, posterior: int, answers: Sequence[Answer], reached: Mapping[str, int]) -> None:
    """Record in one transaction that `answers` made the posterior of that number, and how far the log has been read.

    Raises LogError where another learner recorded one of them: nothing is kept then.
    """
    rows = [
        {"model_version": version, "posterior": posterior, "decision_id": a.decision_id, "stage": a.stage.value, "answer": a.answer} for a in answers
    ]  # in this order a rebuild reads them back
    with writing(engine) as connection:
        if rows:
            connection.execute(insert(answer_table), rows)
        keep_cursors(connection, reached)


def posterior_of(engine: Engine, version: str) -> int:
    """The last posterior of a model that the log knows; 0 where it has learned nothing yet."""
    with reading(engine) as connection:
        last = connection.execute(select(func.max(answer_table.c.posterior)).where(answer_table.c.model_version == version)).scalar()
    return int(last or 0)


def batches(engine: Engine, version: str, after: int, until: int) -> Iterator[tuple[int, list[Answer]]]:
    """The answers of each posterior of (`after`, `until`], in the order in which they were recorded."""
    columns = answer_table.c
    span = select(answer_table).where(columns.model_version == version, columns.posterior > after, columns.posterior <= until)
    with reading(engine) as connection:
        rows = connection.execution_options(yield_per=AT_ONCE).execute(span.order_by(columns.posterior, columns.seq))
        for posterior, group in groupby(rows, key=attrgetter("posterior")):
            yield int(posterior), [Answer(row.decision_id, Stage(row.stage), row.answer) for row in group]


def decisions(engine: Engine, ids: Sequence[str]) -> list[Served]:
    """Those decisions, in any order. Raises DataError for a damaged one, NotReadyError where one is gone."""
    with reading(engine) as connection:
        rows = _rows(connection, select(decision_table), decision_table.c.decision_id, ids)
        found = [served_of(row) for row in rows]
    gone = sorted(set(ids) - {served.asked.decision_id for served in found})
    if gone:
        raise NotReadyError(
            f"{len(gone)} decision(s) that a posterior learned from are no longer in the log, e.g. {gone[0]}: it cannot be rebuilt. "
            "Restore the log from a backup."
        )
    return found


def arm_features(engine: Engine, version: str) -> ArmFeatures:
    """The arms' features of a version; an empty version knows none. Raises NotReadyError where it is not in the log."""
    if not version:
        return {}
    with reading(engine) as connection:
        content = connection.execute(select(arms_table.c.content).where(arms_table.c.version == version)).scalar()
    if content is None:
        raise NotReadyError(_no_arms(version))
    features: ArmFeatures = json.loads(content)
    return features


def oldest_waiting(connection: Connection, after: int) -> datetime | None:
    """When the oldest outcome beyond seq `after` was acknowledged."""
    outcomes = outcome_table.c
    at = connection.execute(select(outcomes.received_at).where(outcomes.seq > after).order_by(outcomes.seq).limit(1)).scalar()
    return None if at is None else instant(at)


def _no_arms(version: str) -> str:
    return f"The log has no arms' features of version {version!r}, so what was decided with them cannot be learned from. Restore the table arm_snapshots."


def _versions(connection: Connection, versions: Collection[str]) -> set[str]:
    """Those of `versions` that are there; the empty one always is."""
    return {"", *connection.execute(select(arms_table.c.version).where(arms_table.c.version.in_(versions))).scalars()}


def _outcomes(connection: Connection, ids: Sequence[str]) -> Mapping[str, list[tuple[OutcomeKind, datetime]]]:
    columns = outcome_table.c
    found: dict[str, list[tuple[OutcomeKind, datetime]]] = defaultdict(list)
    for row in _rows(connection, select(columns.decision_id, columns.kind, columns.occurred_at), columns.decision_id, ids):
        found[row["decision_id"]].append((OutcomeKind(row["kind"]), instant(row["occurred_at"])))
    return found


def _known(connection: Connection, version: str, ids: Sequence[str]) -> Mapping[str, dict[Stage, int]]:
    columns = answer_table.c
    found: dict[str, dict[Stage, int]] = defaultdict(dict)
    query = select(columns.decision_id, columns.stage, columns.answer).where(columns.model_version == version)
    for row in _rows(connection, query, columns.decision_id, ids):
        found[row["decision_id"]][Stage(row["stage"])] = row["answer"]
    return found


def _rows(connection: Connection, query: Select[Any], key: Any, ids: Sequence[str], *, order: Any = None) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401 - columns
    for start in range(0, len(ids), AT_ONCE):
        part = query.where(key.in_(ids[start : start + AT_ONCE]))
        for row in connection.execute(part if order is None else part.order_by(order)).mappings():
            yield dict(row)
