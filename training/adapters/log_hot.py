"""What every decision asks of the log and adds to it, in the driver's own words: through SQLAlchemy's layers the same four statements cost five times as much.

Transactions, connections and locks stay those of `log_engine`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from training.adapters.log_engine import instant, micros
from training.adapters.log_reads import Known
from training.adapters.log_record import keepable, row_of, served_of
from training.adapters.log_tables import decision_table, withdrawal_table
from training.domain.served import MemberState, Served

REMEMBERED = timedelta(days=7)
"""The longest window of a cap: messages of less than this age are read."""


def known(connection: Connection, members: Collection[str], request_ids: Collection[str], now: datetime) -> Known:
    """States as of `now` and earlier decisions."""
    return Known(states(connection, members, now), earlier(connection, request_ids))


def states(connection: Connection, members: Collection[str], now: datetime) -> dict[str, MemberState]:
    """Messages oldest first; those that a clock ahead of `now` dated into the future count too."""
    messages, gone = defaultdict[str, list[tuple[str, datetime]]](list), defaultdict[str, set[str]](set)
    for member, channel, at in _ask(connection, _STATES, members, micros(now - REMEMBERED)):
        if at is None:
            gone[member].add(channel)
        else:
            messages[member].append((channel, instant(at)))
    return {m: MemberState(tuple(messages.get(m, ())), frozenset(gone.get(m, ()))) for m in members}


def withdrawn(connection: Connection, members: Collection[str]) -> dict[str, frozenset[str]]:
    """Channels that may not reach a member any more; members without any are left out."""
    found = defaultdict[str, set[str]](set)
    for member, channel in _ask(connection, _WITHDRAWN, members):
        found[member].add(channel)
    return {member: frozenset(channels) for member, channels in found.items()}


def earlier(connection: Connection, request_ids: Collection[str]) -> dict[str, Served]:
    """Decisions by request id; raises DataError for one that is damaged."""
    found = (dict(zip(_COLUMNS, row, strict=True)) for row in _ask(connection, _EARLIER, request_ids))
    return {row["request_id"]: served_of(row) for row in found}


def append(connection: Connection, served: Sequence[Served]) -> None:
    """Add decisions, whose ids must be new."""
    rows = [tuple(row_of(one).values()) for one in served]
    cursor = connection.connection.cursor()
    try:
        cursor.executemany(_INSERT.replace("?", _MARK[connection.dialect.name]), rows)
    finally:
        cursor.close()


def _ask(connection: Connection, question: str, ids: Collection[str], *more: int) -> list[Any]:
    """Rows of a question about `ids`, which its first mark and any after `more` stand for; none where there is no id that a log could hold."""
    there = [one for one in ids if keepable(one, _LONGEST)]
    if not there:
        return []
    name = connection.dialect.name
    cursor = connection.connection.cursor()
    try:
        asked = _LIST[name](there)
        values = (asked, *more, *[asked] * (question.count("$among") - 1))
        cursor.execute(question.replace("?", _MARK[name]).replace("$among", _AMONG[name]), values)
        return list(cursor.fetchall())
    finally:
        cursor.close()


_d, _w = decision_table.c, withdrawal_table.c
_LONGEST = 128
_MARK = {"sqlite": "?", "postgresql": "%s"}
_AMONG = {"sqlite": "IN (SELECT value FROM json_each(?))", "postgresql": "= ANY(%s)"}
_LIST: dict[str, Callable[[list[str]], object]] = {"sqlite": json.dumps, "postgresql": list}
_COLUMNS = tuple(c.name for c in _d if c.name != "seq")
_WITHDRAWN = f"SELECT {_w.member_id.name}, {_w.channel_id.name} FROM {withdrawal_table.name} WHERE {_w.member_id.name} $among"  # noqa: S608 - names of tables
_STATES = (
    f"SELECT {_d.member_id.name}, {_d.channel_id.name}, {_d.decided_at.name} AS at FROM {decision_table.name} WHERE {_d.member_id.name} $among "  # noqa: S608 - as above
    f"AND {_d.decided_at.name} > ? AND {_d.channel_id.name} IS NOT NULL "
    f"UNION ALL SELECT {_w.member_id.name}, {_w.channel_id.name}, CAST(NULL AS bigint) FROM {withdrawal_table.name} WHERE {_w.member_id.name} $among "
    "ORDER BY at"
)
"""Messages with their instants, and withdrawn channels without one."""
_EARLIER = f"SELECT {', '.join(_COLUMNS)} FROM {decision_table.name} WHERE {_d.request_id.name} $among"  # noqa: S608 - as above
_INSERT = f"INSERT INTO {decision_table.name} ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - as above
