"""The judge step: from an evaluation file to a row in the ledger and a page."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, date, datetime
from typing import Any, cast

import numpy as np
import pytest

from tests.fakes.ledger import FakeLedger
from training.adapters.ledger import SqlLedger
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.errors import DataError, NotReadyError
from training.domain.nouns import Verdict, VerdictKind
from training.evaluation.policy_difference import Log, compare
from training.steps import judge
from training.steps.task import asdict

DAY = date(2026, 3, 1)
ARMS = 4


@pytest.fixture
def settings(tmp_path):
    """An empty home."""
    return Settings(home=tmp_path)


@pytest.fixture(params=["fake", "sqlite"])
def platform(request, settings):
    """A platform of which this step uses the ledger only: the fake and the real one."""
    nothing = cast("Any", None)
    ledger = FakeLedger() if request.param == "fake" else SqlLedger(settings.ledger_url)
    return Platform(nothing, nothing, nothing, nothing, nothing, ledger, nothing)


def world(harm: float) -> dict[str, Any]:
    """Metrics of 24,000 uniform decisions with known truth: arm 0 converts 8 points more, at 100 each, and keeps `harm` fewer members; the challenger prefers
    it.
    """
    rng, rows = np.random.default_rng(5), 24_000
    taken, member = rng.integers(0, ARMS, rows), np.arange(rows) % 3000
    uniform = np.full(rows * ARMS, 1 / ARMS)
    wish = np.tile([0.7, 0.1, 0.1, 0.1], rows)
    log = Log(taken, np.full(rows, 1 / ARMS), member, np.arange(rows + 1) * ARMS, np.tile(np.arange(ARMS), rows), wish, uniform)
    first = taken == 0
    rates = {"converted": 0.02 + 0.08 * first, "retained": 0.985 - harm * first, "opted_out": np.full(rows, 0.004)}
    answers = {name: (rng.random(rows) < rate).astype(float) for name, rate in rates.items()}
    answers |= {"dismissed": (rng.random(rows) < 0.05).astype(float), "conversion_value": 100.0 * answers["converted"]}
    return {name: compare(log, answer, None, 0.05, 3).plain() for name, answer in answers.items()}


def write(settings, metrics, **others):
    """evaluation.json of DAY as `evaluate` writes it, without arms and weights."""
    folder = settings.run_dir(DAY.isoformat())
    folder.mkdir(parents=True, exist_ok=True)
    content = {"day": DAY.isoformat(), "seed": 7, "alpha": 0.05, "challenger": "3", "model_digest": "a1b2", "champion": None}
    content |= {
        "baseline": "logging policy",
        "feature_service": "matching_v1",
        "rows": 24_000,
        "members": 3000,
        "window": ["2026-01-05", "2026-02-22"],
        "metrics": metrics,
        **others,
    }
    (folder / "evaluation.json").write_text(json.dumps(content, allow_nan=False))


def only(platform) -> Verdict:
    """The one verdict in the ledger."""
    (verdict,) = platform.ledger.verdicts()
    return verdict


def test_a_good_challenger_is_promoted(settings, platform):
    """It converts more and harms nobody: PROMOTE, in the ledger, on the page and in the report."""
    write(settings, world(harm=0.0))
    report = judge.run(DAY, settings, platform)
    verdict = only(platform)
    assert report.kind == verdict.kind.value == "PROMOTE"
    assert (verdict.run_id, verdict.challenger, verdict.baseline) == ("2026-03-01", "3", "logging policy")
    assert verdict.judged_at == datetime(2026, 3, 2, tzinfo=UTC)
    assert verdict.lineage["data_window"] == "2026-01-05 to 2026-02-22"
    assert verdict.lineage["feature_service"] == "matching_v1"
    page = report.page.read_text(encoding="utf-8")
    assert "PROMOTE" in page
    assert all(e.name in page for e in verdict.evidence)
    assert "2026-03-01.html" in (settings.reports / "index.html").read_text(encoding="utf-8")
    json.dumps(asdict(report), default=str, allow_nan=False)


def test_a_poisoned_challenger_is_rejected(settings, platform):
    """It converts just as much and loses members (5 points under arm 0): never promoted, however good the success metric."""
    write(settings, world(harm=0.05))
    assert judge.run(DAY, settings, platform).kind == "REJECT"
    verdict = only(platform)
    assert [e.name for e in verdict.evidence if e.refuted] == ["retained non_inferior"]
    assert next(e for e in verdict.evidence if e.name == "converted superior").passed


def test_an_immature_guardrail_holds(settings, platform):
    """No retention label yet: HOLD, and the page says why."""
    write(settings, world(harm=0.0) | {"retained": {"rows": 0}})
    report = judge.run(DAY, settings, platform)
    assert report.kind == "HOLD"
    assert "no mature rows" in report.page.read_text(encoding="utf-8")


def test_an_evaluation_by_other_rules_is_refused(settings, platform):
    """Rules that came after it name what it did not measure: an error that says so, and nothing in the ledger."""
    write(settings, {name: found for name, found in world(harm=0.0).items() if name != "conversion_value"})
    with pytest.raises(DataError, match="did not measure conversion_value.*Run `evaluate`"):
        judge.run(DAY, settings, platform)
    assert platform.ledger.verdicts() == []


def test_nothing_mature_still_gives_a_page(settings, platform):
    """The first days of a business: HOLD with a page, not an error."""
    write(settings, {name: {"rows": 0} for name in world(harm=0.0)}, window=None, rows=0, members=0)
    assert judge.run(DAY, settings, platform).kind == "HOLD"
    assert "data_window" not in only(platform).lineage


def test_a_rerun_replaces_the_same_row(settings, platform):
    """Same verdict, same page, one row; another evaluation of the same day replaces it."""
    write(settings, world(harm=0.0))
    page = judge.run(DAY, settings, platform).page
    first, text = only(platform), page.read_bytes()
    judge.run(DAY, settings, platform)
    assert (only(platform), page.read_bytes()) == (first, text)
    write(settings, world(harm=0.05))
    judge.run(DAY, settings, platform)
    assert only(platform).kind is VerdictKind.REJECT


def test_judge_before_evaluate_says_so(settings, platform):
    """Nothing is recorded."""
    with pytest.raises(NotReadyError, match="Run `evaluate`"):
        judge.run(DAY, settings, platform)
    assert not platform.ledger.verdicts()


def test_lineage_names_runs_only_where_they_are_known(settings, monkeypatch):
    """Airflow's run by its variable; dbt's invocation only if it built this very day; the quality page only if it is there."""
    evaluation = {"window": None, "rows": 1, "members": 1, "seed": 7, "challenger": "3", "model_digest": "a1b2", "feature_service": "matching_v1"}
    monkeypatch.delenv("AIRFLOW_CTX_DAG_RUN_ID", raising=False)
    assert judge.lineage(DAY, evaluation, settings).keys() >= {"seed", "model_version", "model_digest", "feature_service", "held_out"}
    assert not judge.lineage(DAY, evaluation, settings).keys() & {"dag_run", "dbt_invocation", "quality_page", "data_window"}
    monkeypatch.setenv("AIRFLOW_CTX_DAG_RUN_ID", "asset_triggered__1")
    (settings.data_docs / DAY.isoformat()).mkdir(parents=True)
    (settings.home / "dbt").mkdir()
    results = settings.home / "dbt" / "run_results.json"
    results.write_text(json.dumps({"metadata": {"invocation_id": "abc"}, "args": {"vars": {"day": "2026-03-01"}}}))
    found = judge.lineage(DAY, evaluation, settings)
    assert (found["dag_run"], found["dbt_invocation"], found["quality_page"]) == ("asset_triggered__1", "abc", "data_docs/2026-03-01/index.html")
    assert judge.dbt_invocation(results, date(2026, 2, 28)) == ""


def test_the_code_version_is_the_checked_out_commit(monkeypatch, tmp_path):
    """Twelve digits, with a plus where files differ; outside of git nothing is claimed."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=judge.ROOT, capture_output=True, text=True, check=False).stdout.strip()
    assert judge.code_version().rstrip("+") == head[:12]
    monkeypatch.setattr(judge, "ROOT", tmp_path)
    assert judge.code_version() == ""
