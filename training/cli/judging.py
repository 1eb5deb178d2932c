"""`ope`, `gate` and `ledger`: judge logged decisions, an experiment, or look up what was judged. Unusable input is exit code 2 with the reason."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING

from training.domain.errors import DataError

if TYPE_CHECKING:
    from training.domain.nouns import Evidence, Verdict
    from training.domain.rules import Rule
    from training.evaluation.intervals import Interval
    from training.evaluation.support import Support
    from training.evaluation.two_groups import Judgement

OPE_ALPHA = 0.05
"""Two-sided: the intervals of `ope` are 95% ones."""
OPE_FOLDS = 5
STEEPEST = 1e9
"""Ratio of group sizes beyond which nobody plans: one of the groups would be empty."""
UNUSABLE = 2


@dataclass(frozen=True)
class Plan:
    """What `gate` is to judge. `margins` go with `guardrails` one by one, or one goes with all; `ratio` is CONTROL:TREATMENT.

    `planned` rows of both groups: the table grows and is judged again and again.
    """

    success: str
    guardrails: Sequence[str]
    margins: Sequence[float]
    alpha: float = 0.05
    ratio: str = "1:1"
    lower_is_better: Sequence[str] = ()
    planned: int | None = None


def ope(log: Path, target: Path, as_json: bool) -> int:
    """Print IPS, SNIPS and DR of the `target` policy on `log`, with support and warnings; returns the exit code."""
    return _guarded(lambda: _ope(log, target, as_json))


def gate(data: Path, group: str, control: str, treatment: str, plan: Plan, *, as_json: bool) -> int:
    """Print the verdict on group `treatment` against `control` of one experiment; exit code 0 whatever the verdict."""
    return _guarded(lambda: _gate(data, (group, control, treatment), plan, as_json))


def ledger(as_json: bool) -> int:
    """Print all verdicts, the newest first, with their evidence."""
    from training.bootstrap import platform
    from training.config.settings import load_settings

    verdicts = platform(load_settings()).ledger.verdicts()
    if as_json:
        _print_json({"verdicts": [verdict_object(v) for v in verdicts]})
        return 0
    from rich.console import Console
    from rich.markup import escape

    from training.cli.summary import verdict_table

    console = Console()
    if not verdicts:
        console.print("Nothing was judged yet. `rightmatch run` judges a first challenger.")
    for verdict in verdicts:
        console.print(f"[bold]{escape(verdict.run_id)}[/]  judged {verdict.judged_at:%Y-%m-%d %H:%M} UTC", highlight=False)
        console.print(verdict_table(verdict))
        console.print(escape(verdict.reason) + "\n", highlight=False)
    return 0


def verdict_object(verdict: Verdict) -> dict[str, object]:
    """One verdict as JSON holds it."""
    return {
        "run_id": verdict.run_id,
        "verdict": verdict.kind.value,
        "challenger": verdict.challenger,
        "baseline": verdict.baseline,
        "reason": verdict.reason,
        "judged_at": verdict.judged_at.isoformat(),
        "rules": [_rule_object(e, e.name) | {"sample": e.sample, "refuted": e.refuted, "note": e.note} for e in verdict.evidence],
        "lineage": dict(verdict.lineage),
    }


def rules(plan: Plan) -> list[Rule]:
    """The success rule first, then each guardrail with its margin. Raises DataError where the options contradict each other."""
    from training.domain.nouns import RuleKind
    from training.domain.rules import Rule

    margins = list(plan.margins) * len(plan.guardrails) if len(plan.margins) == 1 else list(plan.margins)
    if len(margins) != len(plan.guardrails):
        raise DataError(f"There are {len(plan.guardrails)} guardrails but {len(margins)} margins. Give --margin once for all, or once for each --guardrail.")
    unknown = sorted(set(plan.lower_is_better) - {plan.success, *plan.guardrails})
    if unknown:
        raise DataError(f"--lower-is-better names {', '.join(unknown)}, which no rule judges. Name the success metric or a guardrail.")
    if not 0.0 < plan.alpha < 0.5:  # noqa: PLR2004 - from one half on every coin is evidence
        raise DataError(f"--alpha {plan.alpha} is not an error rate: it must lie between 0 and 0.5, both excluded. 0.05 is usual.")
    if not all(isfinite(m) for m in margins):
        raise DataError("A --margin is not a finite number, so its guardrail would judge nothing. Give the loss that is still harmless.")
    try:
        first = Rule(plan.success, RuleKind.SUPERIOR, 0.0, plan.success in plan.lower_is_better)
        return [first, *(Rule(g, RuleKind.NON_INFERIOR, m, g in plan.lower_is_better) for g, m in zip(plan.guardrails, margins, strict=True))]
    except ValueError as error:
        raise DataError(str(error)) from error


def planned(ratio: str) -> float:
    """Treatment's planned size over control's, from a text like 1:1 or 90:10 (CONTROL:TREATMENT)."""
    first, colon, second = ratio.partition(":")
    try:
        control, treatment = float(first), float(second)
    except ValueError:
        control = treatment = 0.0
    if not colon or not (0.0 < control < float("inf") and 0.0 < treatment < float("inf")) or not 1.0 / STEEPEST < treatment / control < STEEPEST:
        raise DataError(f"--ratio {ratio!r} is not a planned split. Write CONTROL:TREATMENT with two numbers above 0, such as 1:1 or 90:10.")
    return treatment / control


def _guarded(work: Callable[[], None]) -> int:
    try:
        work()
    except DataError as error:
        print(f"rightmatch: {error}", file=sys.stderr)
        return UNUSABLE
    return 0


def _ope(log: Path, target: Path, as_json: bool) -> None:
    from training.evaluation.estimators import evaluate
    from training.evaluation.reward_model import cross_fitted
    from training.evaluation.reward_shape import reward_warnings
    from training.evaluation.support import warnings
    from training.evaluation.tables import IDS, build, read_table

    problem = build(read_table(log, ids=IDS), read_table(target, ids=IDS))
    predicted = cross_fitted(problem.log, problem.target, problem.features, len(problem.actions), OPE_FOLDS)
    estimates, found = evaluate(problem.log, problem.target, predicted, OPE_ALPHA)
    shape = reward_warnings(problem.log.reward, estimates["snips"].influence, problem.log.cluster)
    said = [*problem.notes, *warnings(found, problem.actions), *shape]
    values = {name: (e.value * problem.unit, (e.interval[0] * problem.unit, e.interval[1] * problem.unit)) for name, e in estimates.items()}
    if as_json:
        _print_json(
            {
                "estimators": {name: {"value": _finite(value), "interval": [_finite(end) for end in ends]} for name, (value, ends) in values.items()},
                "effective_sample_size": _finite(found.effective_sample_size),
                "max_weight": _finite(found.max_weight),
                "mean_weight": _finite(found.mean_weight),
                "rows": found.rows,
                "warnings": said,
            }
        )
    else:
        _show_estimates(values, found, said)


def _show_estimates(values: Mapping[str, tuple[float, Interval]], found: Support, said: Sequence[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Value of the target policy", title_justify="left")
    for column in ("estimator", "value", "95% interval"):
        table.add_column(column, justify="left" if column == "estimator" else "right")
    for name, (value, ends) in values.items():
        table.add_row(name.upper(), f"{value:.6g}", _range(ends, "{:.6g}"))
    console = Console()
    console.print(table)
    console.print(
        f"{found.rows:,} rows in {found.clusters:,} clusters count like {found.effective_sample_size:,.1f}; "
        f"weights: mean {found.mean_weight:.4g}, largest {found.max_weight:.6g}",
        highlight=False,
    )
    for sentence in said:
        console.print(f"[yellow]Warning:[/] {escape(sentence)}", highlight=False)


def _gate(data: Path, sides: tuple[str, str, str], plan: Plan, as_json: bool) -> None:
    from training.evaluation.experiment import groups
    from training.evaluation.peeked import judge_look
    from training.evaluation.tables import read_table
    from training.evaluation.two_groups import judge

    wanted, ratio = rules(plan), planned(plan.ratio)
    read = groups(read_table(data, ids=(sides[0],)), *sides, [r.metric for r in wanted])
    if plan.planned is None:
        found = judge(read.control, read.treatment, wanted, plan.alpha, ratio)
    else:
        found = judge_look((read.control, read.treatment), wanted, plan.alpha, ratio, plan.planned)
    names = [*(r.metric for r in wanted), "sample_ratio"]
    if as_json:
        _print_json(
            {
                "verdict": found.kind.value,
                "rules": [_rule_object(e, name) for e, name in zip(found.evidence, names, strict=True)],
                "n": {"control": found.control, "treatment": found.treatment},
                "notes": [*read.notes],
            }
        )
    else:
        _show_judgement(found, names, sides, read.notes)


def _show_judgement(found: Judgement, names: Sequence[str], sides: tuple[str, str, str], notes: Sequence[str]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from training.cli.summary import COLOURS

    who = f"{escape(sides[2])} ({found.treatment:,}) against {escape(sides[1])} ({found.control:,})"
    table = Table(title=f"Verdict: [bold {COLOURS[found.kind.value]}]{found.kind.value}[/]  {who}", title_justify="left")
    for column in ("rule", "difference", "interval", "threshold", "passed"):
        table.add_column(column, justify="right" if column in {"difference", "interval", "threshold"} else "left", overflow="fold")
    for rule in found.evidence:
        passed = "[green]yes[/]" if rule.passed else "[red]no, refuted[/]" if rule.refuted else "[yellow]not shown[/]"
        cells = (f"{rule.value:+.4g}", _range(rule.interval, "{:+.4g}"), f"{rule.threshold + 0.0:.4g}")
        table.add_row(escape(rule.name), *cells, passed)
    console = Console()
    console.print(table)
    for name, rule in zip(names, found.evidence, strict=True):
        console.print(f"[dim]{escape(name)}: {escape(rule.note)}[/]", highlight=False)
    for note in notes:
        console.print(f"[yellow]Warning:[/] {escape(note)}", highlight=False)
    console.print(escape(found.reason), highlight=False)


def _rule_object(evidence: Evidence, name: str) -> dict[str, object]:
    return {
        "name": name,
        "kind": evidence.kind.value,
        "difference": _finite(evidence.value),
        "interval": [_finite(end) for end in evidence.interval],
        "threshold": _finite(evidence.threshold),
        "passed": evidence.passed,
    }


def _range(interval: Interval, style: str) -> str:
    return " to ".join(style.format(end) if isfinite(end) else "unbounded" for end in interval)


def _finite(number: float) -> float | None:
    """JSON has no NaN and no infinity: both say that nothing is known."""
    return float(number) + 0.0 if isfinite(number) else None


def _print_json(answer: Mapping[str, object]) -> None:
    print(json.dumps(answer, allow_nan=False))
