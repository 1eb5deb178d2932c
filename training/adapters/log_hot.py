"""What every decision asks of the log and adds to it, in the driver's own words: through SQLAlchemy's layers the same four statements cost five times as much.

Transactions, connections and locks stay those of `log_engine`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection

from training.adapters.log_engine import instant, micros
from training.adapters.log_reads import Known
from training.adapters.log_record import keepable, row_of, served_of
from training.adapters.log_tables import decision_table, withdrawal_table
from training.domain.served import MemberState, Served

_EACH, _TEXTS = 64, 512
"""Most ids that SQLite is given one by one, which it takes in less time than a list; and texts of statements that are kept."""
REMEMBERED = timedelta(days=7)
"""The longest window of a cap: messages of less than this age are read."""


class Hot(NamedTuple):
    """An open transaction: whose database it is (SQLAlchemy's name), and the driver's own connection."""

    database: str
    connection: Any

    @classmethod
    def of(cls, connection: Connection) -> Hot:
        """That of SQLAlchemy's."""
        return cls(connection.dialect.name, connection.connection)


def known(hot: Hot, members: Collection[str], request_ids: Collection[str], now: datetime) -> Known:
    """States as of `now` and earlier decisions."""
    return Known(states(hot, members, now), earlier(hot, request_ids))


def states(hot: Hot, members: Collection[str], now: datetime) -> dict[str, MemberState]:
    """Messages oldest first; those that a clock ahead of `now` dated into the future count too."""
    messages, gone = defaultdict[str, list[tuple[str, datetime]]](list), defaultdict[str, set[str]](set)
    for member, channel, at in _ask(hot, _STATES, members, micros(now - REMEMBERED)):
        if at is None:
            gone[member].add(channel)
        else:
            messages[member].append((channel, instant(at)))
    return {m: MemberState(tuple(messages.get(m, ())), frozenset(gone.get(m, ()))) for m in members}


def withdrawn(hot: Hot, members: Collection[str]) -> dict[str, frozenset[str]]:
    """Channels that may not reach a member any more; members without any are left out."""
    found = defaultdict[str, set[str]](set)
    for member, channel in _ask(hot, _WITHDRAWN, members):
        found[member].add(channel)
    return {member: frozenset(channels) for member, channels in found.items()}


def earlier(hot: Hot, request_ids: Collection[str]) -> dict[str, Served]:
    """Decisions by request id; raises DataError for one that is damaged."""
    found = (dict(zip(_COLUMNS, row, strict=True)) for row in _ask(hot, _EARLIER, request_ids))
    return {row["request_id"]: served_of(row) for row in found}


def append(hot: Hot, served: Sequence[Served]) -> None:
    """Add decisions, whose ids must be new."""
    rows = [tuple(row_of(one).values()) for one in served]
    cursor = hot.connection.cursor()
    try:
        cursor.executemany(_said(_INSERT, hot.database, 0), rows)
    finally:
        cursor.close()


def _ask(hot: Hot, question: str, ids: Collection[str], *more: int) -> list[Any]:
    """Rows of a question about `ids`, which its first mark and any after `more` stand for; none where there is no id that a log could hold."""
    there = [one for one in ids if keepable(one, _LONGEST)]
    if not there:
        return []
    cursor = hot.connection.cursor()
    try:
        each = hot.database == "sqlite" and len(there) <= _EACH
        asked: tuple[Any, ...] = tuple(there) if each else (json.dumps(there) if hot.database == "sqlite" else there,)
        cursor.execute(_said(question, hot.database, len(there) if each else 0), (*asked, *more, *asked * (question.count("$among") - 1)))
        return list(cursor.fetchall())
    finally:
        cursor.close()


@lru_cache(_TEXTS)
def _said(question: str, database: str, count: int) -> str:
    """As the database understands it, about `count` ids that are given each, or a list of them."""
    among = f"IN ({', '.join('?' * count)})" if count else _AMONG[database]
    return question.replace("$among", among).replace("?", _MARK[database])


_d, _w = decision_table.c, withdrawal_table.c
_LONGEST = 128
_MARK = {"sqlite": "?", "postgresql": "%s"}
_AMONG = {"sqlite": "IN (SELECT value FROM json_each(?))", "postgresql": "= ANY(?)"}
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
