"""The promote step on the fake registry and ledger: what each verdict does to the champion."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, cast

import pytest

from tests.fakes.ledger import FakeLedger
from tests.fakes.registry import FakeRegistry
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.errors import NotReadyError
from training.domain.nouns import LOGGING_POLICY, Verdict, VerdictKind
from training.steps import promote

MONDAY, TUESDAY, WEDNESDAY = (date(2026, 3, day) for day in (2, 3, 4))


@pytest.fixture
def platform(tmp_path):
    """A platform with versions 1 to 3, one for each day, and no champion."""
    registry, folder, nothing = FakeRegistry(tmp_path / "models"), tmp_path / "model", cast("Any", None)
    folder.mkdir()
    for day in (MONDAY, TUESDAY, WEDNESDAY):
        registry.register(folder, {"run_id": day.isoformat()})
    return Platform(nothing, nothing, nothing, nothing, registry, FakeLedger(), nothing)


def judged(platform: Platform, day: date, kind: VerdictKind, baseline: str = LOGGING_POLICY) -> None:
    """Record the verdict on the challenger of `day` against `baseline`; all are judged in the order of the calls."""
    version = str(day.day - 1)
    count = len(platform.ledger.verdicts())
    platform.ledger.record(Verdict(day.isoformat(), kind, version, baseline, (), "because", datetime(2026, 4, 1 + count, tzinfo=UTC)))


@pytest.fixture
def run(platform, tmp_path):
    """The step for one day."""
    return lambda day: promote.run(day, Settings(home=tmp_path), platform)


def test_promote_moves_the_champion_once(platform, run, capsys):
    """The first run moves the alias, a rerun finds it there."""
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    assert (run(MONDAY).before, platform.registry.version("champion")) == (None, "1")
    assert "champion was the logging policy, is version 1" in capsys.readouterr().out
    again = run(MONDAY)
    assert (again.kind, again.before, again.after) == ("PROMOTE", "1", "1")


@pytest.mark.parametrize("kind", [VerdictKind.REJECT, VerdictKind.HOLD])
def test_refusals_leave_the_champion(platform, run, capsys, kind):
    """A refusal is a report with its reason, not an error."""
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    run(MONDAY)
    judged(platform, TUESDAY, kind)
    report = run(TUESDAY)
    assert (report.kind, report.before, report.after, report.why) == (kind.value, "1", "1", "because")
    assert f"{kind.value}: because Champion stays version 1." in capsys.readouterr().out


def test_an_old_day_does_not_undo_a_newer_promotion(platform, run, capsys):
    """A backfill of Monday after Tuesday's promotion, even though it was judged last."""
    judged(platform, TUESDAY, VerdictKind.PROMOTE)
    run(TUESDAY)
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    report = run(MONDAY)
    assert (report.before, report.after, platform.registry.version("champion")) == ("2", "2", "2")
    assert "2026-03-03 was promoted later" in capsys.readouterr().out


def test_a_newer_refusal_does_not_block_an_old_day(platform, run):
    """Only promotions are evidence that would be undone."""
    judged(platform, WEDNESDAY, VerdictKind.REJECT)
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    assert run(MONDAY).after == "1"


def test_a_day_without_a_verdict_cannot_promote(platform, run):
    """The step before it did not run."""
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    with pytest.raises(NotReadyError, match="no verdict for 2026-03-03"):
        run(TUESDAY)
    assert platform.registry.version("champion") is None


def test_only_the_champion_that_was_judged_can_be_replaced(platform, run, capsys):
    """Tuesday was judged against the logging policy while Monday took charge: it may be worse than Monday; judged against Monday it may follow."""
    judged(platform, MONDAY, VerdictKind.PROMOTE)
    run(MONDAY)
    judged(platform, TUESDAY, VerdictKind.PROMOTE)
    assert run(TUESDAY).after == "1"
    assert "judged against logging policy, but version 1 is in charge" in capsys.readouterr().out
    judged(platform, TUESDAY, VerdictKind.PROMOTE, "1")
    assert run(TUESDAY).after == "2"
