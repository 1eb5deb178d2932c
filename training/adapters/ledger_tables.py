"""The ledger's tables: verdicts with their evidence, live experiments with every change of them, who was in charge when, and what is being changed.

Numbers that could not be measured are NULL-free: infinite ends stay infinite.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, DateTime, Float, ForeignKey, Integer, MetaData, String, Table, Text, UniqueConstraint

METADATA = MetaData()

verdict_table = Table(
    "verdicts",
    METADATA,
    Column("run_id", String(64), primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("challenger", String(128), nullable=False),
    Column("baseline", String(128), nullable=False),
    Column("reason", Text, nullable=False),
    Column("judged_at", DateTime, nullable=False, comment="UTC"),
    Column("lineage", Text, nullable=False, comment="JSON object"),
)

evidence_table = Table(
    "evidence",
    METADATA,
    Column("run_id", String(64), ForeignKey("verdicts.run_id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("name", String(128), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("value", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("threshold", Float, nullable=False),
    Column("sample", Integer, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("refuted", Boolean, nullable=False),
    Column("note", Text, nullable=False),
)

experiment_table = Table(
    "experiments",
    METADATA,
    Column("experiment_id", String(64), primary_key=True),
    Column("slot", String(8), nullable=True, unique=True, comment="LIVE while it runs, so that one runs at a time; else NULL"),
    Column("challenger", String(128), nullable=False),
    Column("champion", String(128), nullable=False),
    Column("state", String(16), nullable=False),
    Column("ramp", Text, nullable=False, comment="JSON: shares of the challenger, stage by stage"),
    Column("stages", Text, nullable=False, comment="JSON: [first UTC day, share] of the stages so far"),
    Column("alpha", Float, nullable=False),
    Column("opened_at", DateTime, nullable=False, comment="UTC"),
    Column("changed_at", DateTime, nullable=False, comment="UTC"),
    Column("reason", Text, nullable=False),
    Column("revision", Integer, nullable=False),
)

event_table = Table(
    "experiment_events",
    METADATA,
    Column("experiment_id", String(64), ForeignKey("experiments.experiment_id"), primary_key=True),
    Column("revision", Integer, primary_key=True),
    Column("key", String(64), nullable=True, comment="the day whose look led to it: a day changes an experiment once. NULL by hand"),
    Column("state", String(16), nullable=False),
    Column("stage", Integer, nullable=False, comment="from 1"),
    Column("at", DateTime, nullable=False, comment="UTC"),
    Column("by", String(256), nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("experiment_id", "key", name="a_day_changes_once"),
)


def _change() -> list[Column[Any]]:
    """Columns of one change of the champion."""
    return [
        Column("before", String(128), nullable=True),
        Column("after", String(128), nullable=True),
        Column("cause", String(16), nullable=False),
        Column("by", String(256), nullable=False),
        Column("at", DateTime, nullable=False, comment="UTC"),
        Column("reason", Text, nullable=False),
        Column("experiment_id", String(64), nullable=False, comment="empty without one"),
    ]


change_table = Table("champions", METADATA, Column("seq", Integer, primary_key=True, autoincrement=True), *_change())

alarm_table = Table(
    "alarms",
    METADATA,
    Column("seq", Integer, primary_key=True, autoincrement=False, comment="of the change"),
    Column("run", String(256), nullable=False, comment="the DAG run that told of it"),
)
"""Roll-backs by the watch that somebody was told of."""

intent_table = Table(
    "champion_intents",
    METADATA,
    Column("slot", Integer, primary_key=True, comment="1: one change at a time"),
    Column("key", String(64), nullable=False, comment="of the experiment's event; empty without one"),
    *_change(),
)
"""Who is about to change the champion, and why: written before the alias moves, gone with the change's own row, so that whoever finds a killed one half done
records what it was."""
