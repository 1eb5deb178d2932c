"""Tables of the decision log, on SQLite (WAL) or Postgres. Instants are microseconds since 1970 UTC, so that every database keeps and compares them alike."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import BigInteger, Column, Connection, Float, Index, Inspector, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint, text

METADATA = MetaData()
SEQUENCE = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts rows by INTEGER alone."""
_SHOWN = text("channel_id IS NOT NULL")
"""What counts against a cap."""

decision_table = Table(
    "served_decisions",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("decision_id", String(64), nullable=False, unique=True),
    Column("request_id", String(128), nullable=False, unique=True),
    Column("member_id", String(128), nullable=False),
    Column("decided_at", BigInteger, nullable=False),
    Column("surface", String(16), nullable=False),
    Column("chosen_arm", String(256), nullable=False),
    Column("channel_id", String(128), nullable=True, comment="NULL where nothing is shown"),
    Column("propensity", Float, nullable=False),
    Column("assignment_group", String(64), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("model_version", String(64), nullable=False, comment="empty without one"),
    Column("posterior", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("record", LargeBinary, nullable=False, comment="msgpack of the rest of domain.served.Served"),
    Index("served_messages", "member_id", "decided_at", "channel_id", sqlite_where=_SHOWN, postgresql_where=_SHOWN),
    Index("served_by_time", "decided_at"),
)

outcome_table = Table(
    "served_outcomes",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("outcome_id", String(128), nullable=False, unique=True),
    Column("decision_id", String(64), nullable=False, index=True),
    Column("member_id", String(128), nullable=False, index=True),
    Column("kind", String(16), nullable=False),
    Column("occurred_at", BigInteger, nullable=False),
    Column("value", Float, nullable=True),
    Column("received_at", BigInteger, nullable=False),
    Index("outcomes_by_time", "occurred_at"),
)

withdrawal_table = Table(
    "withdrawals",
    METADATA,
    Column("member_id", String(128), primary_key=True),
    Column("channel_id", String(128), primary_key=True),
    Column("withdrawn_at", BigInteger, nullable=False),
)

pause_table = Table("paused_arms", METADATA, Column("arm_id", String(256), primary_key=True), Column("paused_at", BigInteger, nullable=False))

arms_table = Table(
    "arm_snapshots",
    METADATA,
    Column("version", String(64), primary_key=True, comment="digest of content"),
    Column("content", Text, nullable=False, comment="JSON: arm id -> features, or a catalog"),
    Column("seen_at", BigInteger, nullable=False),
)

key_table = Table(
    "api_keys",
    METADATA,
    Column("key_id", String(32), primary_key=True),
    Column("name", String(128), nullable=False),
    Column("hash", String(64), nullable=False, comment="SHA-256 of a random key of 256 bits"),
    Column("scopes", String(128), nullable=False, comment="joined by commas"),
    Column("created_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
)

answer_table = Table(
    "learned_answers",
    METADATA,
    Column("seq", SEQUENCE, primary_key=True, autoincrement=True),
    Column("model_version", String(64), nullable=False),
    Column("posterior", BigInteger, nullable=False, comment="the version that this answer first went into"),
    Column("decision_id", String(64), nullable=False),
    Column("stage", String(64), nullable=False),
    Column("answer", Integer, nullable=False, comment="0 or 1"),
    UniqueConstraint("model_version", "decision_id", "stage", name="one_answer"),
    Index("answers_by_version", "model_version", "posterior"),
)

recent_table = Table(
    "recent_members",
    METADATA,
    Column("member_id", String(128), primary_key=True),
    Column("base", Text, nullable=False, comment="JSON: counts as a materialization left them, and those before and after the last push"),
    Column("base_at", BigInteger, nullable=False, comment="their event time"),
    Column("pushed_at", BigInteger, nullable=False, comment="event time of the row that was pushed last"),
)

service_time_table = Table(
    "service_times",
    METADATA,
    Column("day", String(10), primary_key=True, comment="ISO date of the decisions, UTC"),
    Column("assignment_group", String(64), primary_key=True),
    Column("model_version", String(64), primary_key=True, comment="empty without one"),
    Column("slow", BigInteger, nullable=False, comment="decisions that took longer than experiment.slow_ms"),
    Column("decisions", BigInteger, nullable=False),
)

cursor_table = Table("cursors", METADATA, Column("name", String(64), primary_key=True), Column("value", BigInteger, nullable=False))
"""How far a reader of the log has come, by its name."""

_OUTDATED = {"served_by_member"}
"""Indexes of decisions of earlier versions: this one held no channel, so that each message that a cap counts was looked up in the table."""


def whole(there: Inspector) -> bool:
    """Whether nothing is missing."""
    return METADATA.tables.keys() <= set(there.get_table_names()) and {index.name for index in decision_table.indexes} <= _indexes(there)


def make(connection: Connection) -> None:
    """All tables, where they are missing; the indexes of decisions also where an earlier version made the table."""
    METADATA.create_all(connection)
    for index in decision_table.indexes:
        index.create(connection, checkfirst=True)


def outdated(there: Inspector) -> list[str]:
    """Indexes that nothing reads any more."""
    return sorted(_OUTDATED & _indexes(there))


def drop(connection: Connection, indexes: Iterable[str]) -> None:
    """Drop those, in a transaction of their own: Postgres lets nobody read the table until it ends."""
    for name in indexes:
        connection.execute(text(f"DROP INDEX IF EXISTS {name}"))


def _indexes(there: Inspector) -> set[str]:
    return {str(index["name"]) for index in there.get_indexes(decision_table.name)}
