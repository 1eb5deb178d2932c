"""The judgement of a randomised experiment with two groups: success superior, guardrails non-inferior, sample ratio as planned.

0/1 metrics use Newcombe's hybrid score interval (1998, method 10), which keeps its width where a group has no success at all;
other metrics use Welch's. Each rule is one-sided at alpha, so the interval shown is the two-sided 1 - 2 alpha one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from training.domain.nouns import Evidence, RuleKind, VerdictKind
from training.domain.rules import Rule, conclude
from training.evaluation.intervals import Floats, Interval

RATIO_ALPHA = 0.001
"""A sample ratio this unlikely means that assignment or logging is broken (Fabijan et al. 2019 use the same order)."""


@dataclass(frozen=True)
class Judgement:
    """The verdict on B (treatment) against A (control), its evidence in the order of the rules, the ratio last, and the group sizes."""

    kind: VerdictKind
    reason: str
    evidence: tuple[Evidence, ...]
    control: int
    treatment: int


def judge(control: Mapping[str, Floats], treatment: Mapping[str, Floats], rules: Sequence[Rule], alpha: float, ratio: float = 1.0) -> Judgement:
    """Judge both groups' metric columns by `rules`; `ratio` is the planned treatment / control size."""
    a, b = (len(next(iter(g.values()))) for g in (control, treatment))
    evidence = []
    for rule in rules:
        first, second = control[rule.metric], treatment[rule.metric]
        gap = float(second.mean() - first.mean())
        note = f"control {first.mean():.6g}, treatment {second.mean():.6g}"
        evidence.append(rule.measure(gap, difference_interval(first, second, alpha), a + b, note))
    evidence.append(sample_ratio(a, b, ratio))
    kind, reason = conclude(evidence)
    return Judgement(kind, reason, tuple(evidence), a, b)


def difference_interval(control: Floats, treatment: Floats, alpha: float) -> Interval:
    """Interval of mean(treatment) - mean(control), one-sided `alpha` at each end."""
    if np.isin(control, (0.0, 1.0)).all() and np.isin(treatment, (0.0, 1.0)).all():
        return newcombe(int(control.sum()), len(control), int(treatment.sum()), len(treatment), alpha)
    return welch(control, treatment, alpha)


def newcombe(hits_a: int, a: int, hits_b: int, b: int, alpha: float) -> Interval:
    """Newcombe's interval of hits_b / b - hits_a / a from the two Wilson intervals."""
    rate_a, rate_b = hits_a / a, hits_b / b
    low_a, high_a = wilson(hits_a, a, alpha)
    low_b, high_b = wilson(hits_b, b, alpha)
    gap = rate_b - rate_a
    return gap - float(np.hypot(rate_b - low_b, high_a - rate_a)), gap + float(np.hypot(high_b - rate_b, rate_a - low_a))


def wilson(hits: int, n: int, alpha: float) -> Interval:
    """Wilson's score interval (1927) of a rate, one-sided `alpha` at each end."""
    z = float(stats.norm.isf(alpha))
    rate, spread = hits / n, z**2 / n
    middle = (rate + spread / 2) / (1 + spread)
    half = z * float(np.sqrt(rate * (1 - rate) / n + spread / (4 * n))) / (1 + spread)
    return max(0.0, middle - half), min(1.0, middle + half)


def welch(control: Floats, treatment: Floats, alpha: float) -> Interval:
    """Welch's interval of the difference of means. A group of one row, or one without any variation, says nothing of its error: (-inf, inf)."""
    a, b = len(control), len(treatment)
    if min(a, b) < 2:
        return -np.inf, np.inf
    part_a, part_b = float(control.var(ddof=1)) / a, float(treatment.var(ddof=1)) / b
    if min(part_a, part_b) <= 0.0:
        return -np.inf, np.inf
    total = part_a + part_b
    freedom = total**2 / (part_a**2 / (a - 1) + part_b**2 / (b - 1))
    half = float(stats.t.isf(alpha, freedom)) * float(np.sqrt(total))
    gap = float(treatment.mean() - control.mean())
    return gap - half, gap + half


def sample_ratio(control: int, treatment: int, ratio: float) -> Evidence:
    """Does the split differ from the planned one by more than chance? Value and interval: treatment's share minus its planned share; threshold: the least p."""
    n = control + treatment
    planned = ratio / (1.0 + ratio)
    p_value = float(stats.chisquare([control, treatment], [n * (1 - planned), n * planned]).pvalue)
    low, high = wilson(treatment, n, RATIO_ALPHA / 2)
    passed = p_value >= RATIO_ALPHA
    note = f"p = {p_value:.3g} against a planned share of {planned:.4g}"
    if not passed:
        note += "; assignment or logging is broken, or the plan was another: say --ratio CONTROL:TREATMENT"
    return Evidence("sample_ratio", RuleKind.SAMPLE_RATIO, treatment / n - planned, (low - planned, high - planned), RATIO_ALPHA, n, passed, note=note)
