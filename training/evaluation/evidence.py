"""From an evaluation to evidence: each rule measured by its doubly robust difference, and three rules on the support it stands on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from training.config.settings import JudgingSettings
from training.domain.errors import DataError
from training.domain.nouns import Evidence, RuleKind
from training.domain.rules import Rule

ESTIMATOR = "dr"
"""The verdict rests on this one; the others stand beside it in the report."""
UNKNOWN = 1e9
"""End of an interval of which nothing is known, for a reward without natural ends; a 0/1 reward's difference lies in [-1, 1]."""


def evidence(metrics: Mapping[str, Any], rules: Sequence[Rule], limits: JudgingSettings) -> tuple[Evidence, ...]:
    """Evidence of each rule in order, then support. `metrics` is that of evaluation.json; a metric without rows passes nothing and refutes nothing.

    Raises DataError where a rule's metric was not measured at all.
    """
    absent = [rule.metric for rule in rules if rule.metric not in metrics]
    if absent:
        raise DataError(f"The evaluation did not measure {', '.join(absent)}, which the rules judge by now. Run `evaluate` for this day again, then `judge`.")
    return (*(measure(rule, metrics[rule.metric]) for rule in rules), *support_rules(metrics, limits))


def measure(rule: Rule, metric: Mapping[str, Any]) -> Evidence:
    """One rule on one metric."""
    end = 1.0 if metric.get("binary", True) else UNKNOWN
    if not metric["rows"]:
        return replace(rule.measure(0.0, (-end, end), 0, "no mature rows"), passed=False, refuted=False)
    found = metric["difference"][ESTIMATOR]
    if found["value"] is None:
        return replace(rule.measure(0.0, (-end, end), metric["rows"], "not estimable"), passed=False, refuted=False)
    low, high = found["interval"]
    low, high = -end if low is None else max(low, -end), end if high is None else min(high, end)
    challenger, baseline = (metric[side][ESTIMATOR]["value"] for side in ("challenger", "baseline"))
    note = f"challenger {challenger:.4f}, baseline {baseline:.4f}" if None not in (challenger, baseline) else ""
    return rule.measure(found["value"], (low, high), metric["rows"], note)


def support_rules(metrics: Mapping[str, Any], limits: JudgingSettings) -> tuple[Evidence, ...]:
    """The worst of each diagnostic over metrics and both policies. Thin support never refutes: it means that the log cannot answer.

    All three read "larger is better": effective rows, the share of weight that is not on the heaviest row, and 1 - |mean weight - 1|.
    """
    found = [(f"{side} on {name}", s) for name, m in metrics.items() if m["rows"] for side, s in m["support"].items()]
    if not found:
        return (Evidence("effective_sample support", RuleKind.SUPPORT, 0.0, (0.0, 0.0), limits.min_effective_sample, 0, passed=False, note="no mature rows"),)
    thin = min(found, key=lambda f: f[1]["effective_sample_size"])
    heavy = max(found, key=lambda f: f[1]["max_weight_share"])
    far = max(found, key=lambda f: abs(f[1]["mean_weight"] - 1.0))
    return (
        _support("effective_sample", thin[1]["effective_sample_size"], limits.min_effective_sample, thin, f"of {thin[1]['rows']} rows"),
        _support("weight_spread", 1.0 - heavy[1]["max_weight_share"], 1.0 - limits.max_weight_share, heavy, f"largest weight {heavy[1]['max_weight']:.4g}"),
        _support("mean_weight", 1.0 - abs(far[1]["mean_weight"] - 1.0), 1.0 - limits.mean_weight_tolerance, far, f"mean weight {far[1]['mean_weight']:.4g}"),
    )


def _support(name: str, value: float, threshold: float, found: tuple[str, Mapping[str, Any]], note: str) -> Evidence:
    where, diagnostics = found
    return Evidence(
        name=f"{name} {RuleKind.SUPPORT.value}",
        kind=RuleKind.SUPPORT,
        value=value,
        interval=(value, value),
        threshold=threshold,
        sample=int(diagnostics["rows"]),
        passed=bool(value >= threshold),
        note=f"{note} ({where})",
    )
