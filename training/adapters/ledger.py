"""The ledger: every verdict and its evidence as rows, on SQLite (WAL) or any database that SQLAlchemy knows."""

from __future__ import annotations

import json
from datetime import UTC
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, delete, event, insert, select
from sqlalchemy.engine import make_url
from sqlalchemy.pool import ConnectionPoolEntry

from training.adapters.ledger_tables import METADATA, evidence_table, verdict_table
from training.domain.nouns import Evidence, RuleKind, Verdict, VerdictKind


class SqlLedger:
    """Verdicts by `run_id`; recording one again replaces it and its evidence in one transaction."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._made: Engine | None = None

    def record(self, verdict: Verdict) -> None:
        """Write `verdict` and its evidence, or replace what stands under its run_id."""
        with self._engine().begin() as connection:
            for table in (evidence_table, verdict_table):
                connection.execute(delete(table).where(table.c.run_id == verdict.run_id))
            connection.execute(insert(verdict_table).values(**_verdict_row(verdict)))
            rows = [_evidence_row(verdict.run_id, position, e) for position, e in enumerate(verdict.evidence)]
            if rows:
                connection.execute(insert(evidence_table), rows)

    def verdicts(self) -> list[Verdict]:
        """All verdicts, the newest first."""
        order = select(verdict_table).order_by(verdict_table.c.judged_at.desc(), verdict_table.c.run_id.desc())
        with self._engine().connect() as connection:
            return [
                Verdict(
                    run_id=row.run_id,
                    kind=VerdictKind(row.kind),
                    challenger=row.challenger,
                    baseline=row.baseline,
                    evidence=_evidence(connection, row.run_id),
                    reason=row.reason,
                    judged_at=row.judged_at.replace(tzinfo=UTC),
                    lineage=json.loads(row.lineage),
                )
                for row in connection.execute(order).all()
            ]

    def _engine(self) -> Engine:
        if self._made is None:
            url = make_url(self._url)
            if url.get_backend_name() == "sqlite" and url.database:
                Path(url.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(url)
            if url.get_backend_name() == "sqlite":
                event.listen(engine, "connect", _write_ahead)
            METADATA.create_all(engine)
            self._made = engine
        return self._made


def _write_ahead(connection: object, entry: ConnectionPoolEntry) -> None:
    """Readers are not blocked by the writer, and a writer waits up to 30 s for another."""
    del entry
    connection.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
    connection.execute("PRAGMA busy_timeout=30000")  # type: ignore[attr-defined]


def _evidence(connection: Connection, run_id: str) -> tuple[Evidence, ...]:
    rows = connection.execute(select(evidence_table).where(evidence_table.c.run_id == run_id).order_by(evidence_table.c.position)).all()
    return tuple(
        Evidence(
            name=r.name,
            kind=RuleKind(r.kind),
            value=r.value,
            interval=(r.low, r.high),
            threshold=r.threshold,
            sample=r.sample,
            passed=r.passed,
            refuted=r.refuted,
            note=r.note,
        )
        for r in rows
    )


def _verdict_row(verdict: Verdict) -> dict[str, object]:
    return {
        "run_id": verdict.run_id,
        "kind": verdict.kind.value,
        "challenger": verdict.challenger,
        "baseline": verdict.baseline,
        "reason": verdict.reason,
        "judged_at": verdict.judged_at.astimezone(UTC).replace(tzinfo=None),
        "lineage": json.dumps(dict(verdict.lineage), sort_keys=True),
    }


def _evidence_row(run_id: str, position: int, evidence: Evidence) -> dict[str, object]:
    return {
        "run_id": run_id,
        "position": position,
        "name": evidence.name,
        "kind": evidence.kind.value,
        "value": evidence.value,
        "low": evidence.interval[0],
        "high": evidence.interval[1],
        "threshold": evidence.threshold,
        "sample": evidence.sample,
        "passed": evidence.passed,
        "refuted": evidence.refuted,
        "note": evidence.note,
    }
