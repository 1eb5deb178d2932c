"""The ledger's contract, on the fake and on SQLite."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import inspect

from tests.fakes.ledger import FakeLedger
from tests.fakes.log_writers import gate, opens_ledgers, said, start
from training.adapters.ledger import SqlLedger
from training.adapters.ledger_engine import LedgerDatabase
from training.adapters.ledger_tables import METADATA
from training.domain.nouns import RuleKind, Verdict, VerdictKind
from training.domain.rules import Rule

RULE = Rule("converted", RuleKind.SUPERIOR)


def verdict(day: int, kind: VerdictKind = VerdictKind.PROMOTE) -> Verdict:
    """A verdict of January with two pieces of evidence."""
    evidence = (RULE.measure(0.5, (0.25, 0.75), 10), RULE.measure(0.5, (float("-inf"), 1.0), 3, "thin"))
    return Verdict(f"2026-01-{day:02d}", kind, "3", "logging", evidence, "because", datetime(2026, 1, day, tzinfo=UTC), {"seed": "7"})


@pytest.fixture(params=["fake", "sqlite"])
def ledger(request, tmp_path):
    """Both ledgers."""
    return FakeLedger() if request.param == "fake" else SqlLedger(f"sqlite:///{tmp_path}/new/ledger.db")


def test_a_verdict_comes_back_whole(ledger):
    """Evidence in order, infinite ends, lineage and time zone included."""
    ledger.record(verdict(5))
    assert ledger.verdicts() == [verdict(5)]


def test_recording_again_replaces(ledger):
    """A rerun of the day leaves one row, the later one."""
    ledger.record(verdict(5))
    ledger.record(verdict(5, VerdictKind.HOLD))
    assert [v.kind for v in ledger.verdicts()] == [VerdictKind.HOLD]


def test_newest_first(ledger):
    """Whatever order they were recorded in."""
    for day in (6, 5, 7):
        ledger.record(verdict(day))
    assert [v.run_id[-2:] for v in ledger.verdicts()] == ["07", "06", "05"]


def test_an_empty_ledger_lists_nothing(ledger):
    """And does not fail."""
    assert ledger.verdicts() == []


def test_many_may_come_first(tmp_path):
    """A service's workers and a command that open a new ledger at the same moment: its tables are made once, and nobody fails."""
    urls, together = [f"sqlite:///{tmp_path}/{number}/ledger.db" for number in range(10)], gate(4)
    pipes = [start(opens_ledgers, urls, together)[1] for _ in range(4)]
    assert [said(pipe) for pipe in pipes] == [["opened"] * len(urls)] * len(pipes)
    assert all(set(inspect(LedgerDatabase(url).engine).get_table_names()) == set(METADATA.tables) for url in urls)
