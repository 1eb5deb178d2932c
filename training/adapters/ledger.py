"""The ledger: every verdict and its evidence as rows, on SQLite (WAL) or any database that SQLAlchemy knows."""

from __future__ import annotations

import json
from datetime import UTC
from typing import Any

from sqlalchemy import Connection, Select, delete, insert, select

from training.adapters.ledger_engine import LedgerDatabase
from training.adapters.ledger_tables import evidence_table, verdict_table
from training.domain.nouns import AT, Evidence, RuleKind, Verdict, VerdictKind


class SqlLedger:
    """Verdicts by `run_id`; recording one again replaces it and its evidence in one transaction."""

    def __init__(self, url: str) -> None:
        self._database = LedgerDatabase(url)

    def record(self, verdict: Verdict) -> None:
        """Write `verdict` and its evidence, or replace what stands under its run_id."""
        with self._database.engine.begin() as connection:
            for table in (evidence_table, verdict_table):
                connection.execute(delete(table).where(table.c.run_id == verdict.run_id))
            connection.execute(insert(verdict_table).values(**_verdict_row(verdict)))
            rows = [_evidence_row(verdict.run_id, position, e) for position, e in enumerate(verdict.evidence)]
            if rows:
                connection.execute(insert(evidence_table), rows)

    def verdicts(self) -> list[Verdict]:
        """The screen's verdicts, one a retrain, the newest first."""
        return self._read(_NEWEST.where(verdict_table.c.run_id.not_like(f"%{AT}%")))

    def looks(self, subject: str) -> list[Verdict]:
        """All looks at an experiment, or of the watch over a version (`domain.nouns.look_id`), the oldest first."""
        found = self._read(_NEWEST.where(verdict_table.c.run_id.startswith(subject + AT, autoescape=True)))
        return found[::-1]

    def _read(self, query: Select[Any]) -> list[Verdict]:
        with self._database.engine.connect() as connection:
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
                for row in connection.execute(query).all()
            ]


_NEWEST = select(verdict_table).order_by(verdict_table.c.judged_at.desc(), verdict_table.c.run_id.desc())


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
