"""The verdict as a page: one self-contained HTML file a run (no script, nothing fetched), and an index of all."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from training.adapters import report_plots as plots
from training.domain.nouns import Evidence, RuleKind, Verdict, VerdictKind

MEANING = {
    VerdictKind.PROMOTE: "The challenger may take charge.",
    VerdictKind.REJECT: "The challenger is shown to be harmful; it does not take charge.",
    VerdictKind.HOLD: "The evidence does not decide; the baseline stays in charge.",
}
MARKS = {VerdictKind.PROMOTE: "✓", VerdictKind.REJECT: "✕", VerdictKind.HOLD: "◇"}
SHOWN_ARMS = 12
LIMITS = (
    "This is an offline screen on logged decisions. It sees the effect of <b>one</b> decision, given that the logging policy makes all others.",
    "What a whole policy does to a member over weeks shows only in a live experiment.",
    "Only members that the challenger never learned from are counted.",
    "Every number assumes that the logged propensities are right: mean weights near 1 support that, they do not prove it.",
    "A challenger of each day is one more look at much the same log: over many days, one that is no better is promoted more often than alpha says.",
    "HOLD is not “no harm”: it says that the data do not decide.",
    "Each rule is one-sided at alpha; the interval drawn is the two-sided 1 - 2 alpha one. Guardrails need no correction: all must pass.",
    "Predictions by arm are the challenger's own and explain its choice; the verdict rests on the outcomes, not on them.",
)
BLANK = "-"
KINDS = {RuleKind.SUPERIOR: "must be better", RuleKind.NON_INFERIOR: "must not be worse", RuleKind.SAMPLE_RATIO: "as planned", RuleKind.SUPPORT: "enough data"}


def render(verdict: Verdict, evaluation: Mapping[str, Any], manifest: Mapping[str, Any]) -> str:
    """The page. `evaluation` is evaluation.json, `manifest` the model's (its `calibration` is drawn if it is there)."""
    labels = [m for m in ("converted", "retained") if any(m in a["predicted"] for a in evaluation.get("arms", []))]
    page: str = (
        environment()
        .get_template("report.html.j2")
        .render(
            verdict=verdict,
            mark=MARKS[verdict.kind],
            meaning=MEANING[verdict.kind],
            rules=[rule_line(e) for e in verdict.evidence],
            intervals=plots.intervals(verdict.evidence),
            metrics={name: m for name, m in evaluation["metrics"].items() if m["rows"]},
            histogram=plots.weights(evaluation["weights"]) if "weights" in evaluation else "",
            arms=evaluation.get("arms", [])[:SHOWN_ARMS],
            hidden_arms=max(0, len(evaluation.get("arms", [])) - SHOWN_ARMS),
            widest=max((max(a["challenger"], a["baseline"]) for a in evaluation.get("arms", [])), default=1.0),
            labels=labels,
            calibration=[(c, plots.calibration(c)) for c in manifest.get("calibration", []) if c["rows"]],
            alpha=evaluation["alpha"],
            limits=LIMITS,
        )
    )
    return page


def write_report(path: Path, verdict: Verdict, evaluation: Mapping[str, Any], manifest: Mapping[str, Any]) -> Path:
    """Write the page at `path` whole; an older one is replaced."""
    return write(path, render(verdict, evaluation, manifest))


def write_index(path: Path, verdicts: Sequence[Verdict]) -> Path:
    """Write the list of all verdicts, newest first, each linked to its page beside `path`."""
    return write(path, environment().get_template("index.html.j2").render(verdicts=verdicts, marks=MARKS))


def rule_line(e: Evidence) -> dict[str, Any]:
    """One line of the rule table, in words. Differences of 0/1 metrics are in percentage points."""
    measured = e.kind in {RuleKind.SUPERIOR, RuleKind.NON_INFERIOR}
    say = (_points if plots.rate(e) else _amount) if measured else _number
    return {
        "name": e.name,
        "kind": KINDS[e.kind],
        "value": say(e.value) if e.sample else BLANK,
        "interval": f"{say(e.interval[0])} to {say(e.interval[1])}" if measured and e.sample and all(map(isfinite, e.interval)) else BLANK,
        "threshold": f"{'above' if measured else 'at least'} {say(e.threshold)}",
        "sample": f"{e.sample:,}",
        "state": "passed" if e.passed else "refuted" if e.refuted else "open",
        "word": "✓ passed" if e.passed else "✕ refuted" if e.refuted else "◇ not shown",
        "note": e.note,
    }


def _points(value: float) -> str:
    return f"{value * 100:+.3f}" if abs(value) > 5e-6 else "0"  # noqa: PLR2004 - half of the last digit shown


def _amount(value: float) -> str:
    return f"{value:+,.0f}" if abs(value) >= 100 else f"{value:+.4g}"  # noqa: PLR2004 - as below


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"  # noqa: PLR2004 - above it decimals are noise


def _percent(value: float | None, digits: int = 2) -> str:
    return BLANK if value is None else f"{value:.{digits}%}"


def _plain(value: float | None, digits: int = 5) -> str:
    return BLANK if value is None else f"{value:.{digits}f}"


def _money(value: float) -> str:
    if abs(value) < 5e-4:  # noqa: PLR2004 - half of the last digit shown
        return "0"
    return f"{value:+.3f}" if abs(value) < 10 else f"{value:+,.0f}"  # noqa: PLR2004 - above it decimals are noise


def environment() -> Any:  # noqa: ANN401 - jinja2 is imported late
    """Of the templates beside this file, with the filters that they use; all text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"percent": _percent, "plain": _plain, "number": _number, "money": _money, "html": Markup}
    return environment


def write(path: Path, text: str) -> Path:
    """Write aside, then rename, so that a reader never sees half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(text, encoding="utf-8")
    return aside.replace(path)
