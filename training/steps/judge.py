"""`judge`: the rules on the evaluation's evidence; the verdict goes to the ledger and to a page that a person can read."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from training.adapters.ports import Platform
from training.config.settings import ROOT, Settings
from training.domain.errors import NotReadyError
from training.domain.nouns import Evidence, Verdict
from training.domain.rules import conclude
from training.evaluation.evidence import evidence


@dataclass(frozen=True)
class JudgeReport:
    """The verdict in short, and where its page is."""

    kind: str
    challenger: str
    baseline: str
    reason: str
    page: Path


def run(day: date, settings: Settings, platform: Platform) -> JudgeReport:
    """Record the verdict of `day` under run_id DAY and write `reports/DAY.html`; a rerun replaces both with the same.

    A refusal is a verdict, not an error. Raises NotReadyError without an evaluation.
    """
    from training.adapters.report import write_index, write_report

    folder = settings.run_dir(day.isoformat())
    evaluation = read(folder / "evaluation.json")
    found = evidence(evaluation["metrics"], settings.guardrails(), settings.judging)
    kind, reason = conclude(found)
    verdict = Verdict(
        run_id=day.isoformat(),
        kind=kind,
        challenger=str(evaluation["challenger"]),
        baseline=str(evaluation["baseline"]),
        evidence=found,
        reason=reason,
        judged_at=datetime.combine(day + timedelta(days=1), time(), UTC),
        lineage=lineage(day, evaluation, settings),
    )
    platform.ledger.record(verdict)
    page = write_report(settings.reports / f"{day.isoformat()}.html", verdict, evaluation, manifest(folder))
    write_index(settings.reports / "index.html", platform.ledger.verdicts())
    told(found)
    print(f"{kind.value}: {reason} Page: {page}", flush=True)
    return JudgeReport(kind.value, verdict.challenger, verdict.baseline, reason, page)


def told(evidence: Sequence[Evidence]) -> None:
    """Print each rule into the task's log."""
    for e in evidence:
        state = "passed" if e.passed else "REFUTED" if e.refuted else "not shown"
        print(f"{state}: {e.name} {e.value:.5g} [{e.interval[0]:.5g}, {e.interval[1]:.5g}]", flush=True)


def read(path: Path) -> dict[str, Any]:
    """An evaluation. Raises NotReadyError if it was not written."""
    if not path.is_file():
        raise NotReadyError(f"{path} does not exist, so there is no evidence to judge. Run `evaluate` for this day first.")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def manifest(folder: Path) -> dict[str, Any]:
    """What the model says of itself; empty where it has no manifest."""
    path = folder / "model" / "manifest.json"
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def lineage(day: date, evaluation: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """Where the verdict comes from; what is not known is left out."""
    window = evaluation.get("window")
    known = {
        "data_window": f"{window[0]} to {window[1]}" if window else "",
        "held_out": f"{evaluation['rows']} decisions of {evaluation['members']} members",
        "seed": str(evaluation["seed"]),
        "model_version": str(evaluation["challenger"]),
        "model_digest": str(evaluation["model_digest"]),
        "feature_service": str(evaluation["feature_service"]),
    }
    return {name: value for name, value in known.items() if value} | provenance(day, settings)


def provenance(day: date, settings: Settings) -> dict[str, str]:
    """What made the data and the code that a verdict of `day` stands on; what is not known is left out."""
    known = {
        "dag": os.environ.get("AIRFLOW_CTX_DAG_ID", ""),
        "dag_run": os.environ.get("AIRFLOW_CTX_DAG_RUN_ID", ""),
        "source": settings.source,
        "code_version": code_version(),
        "dbt_invocation": dbt_invocation(settings.home / "dbt" / "run_results.json", day),
        "quality_page": f"{settings.data_docs.name}/{day.isoformat()}/index.html" if (settings.data_docs / day.isoformat()).is_dir() else "",
    }
    return {name: value for name, value in known.items() if value}


def code_version() -> str:
    """The commit that is checked out, with a plus where files differ from it; empty outside of git."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(*arguments: str) -> str:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=True, timeout=10).stdout.strip()


def dbt_invocation(file: Path, day: date) -> str:
    """The dbt invocation that built `day`; empty where dbt last built another day or left no results."""
    if not file.is_file():
        return ""
    content = json.loads(file.read_text(encoding="utf-8"))
    built = content.get("args", {}).get("vars", {})
    return str(content["metadata"]["invocation_id"]) if isinstance(built, dict) and built.get("day") == day.isoformat() else ""
