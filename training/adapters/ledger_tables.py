"""The ledger's two tables. Numbers that could not be measured are NULL-free: infinite ends stay infinite."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, DateTime, Float, ForeignKey, Integer, MetaData, String, Table, Text

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
