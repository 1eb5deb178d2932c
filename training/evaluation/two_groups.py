"""The judgement of a randomised experiment with two groups, at one look: success superior, guardrails non-inferior, sample ratio as planned.

0/1 metrics use Newcombe's hybrid score interval (1998, method 10), which keeps its width where a group has no success at all;
other metrics use Welch's, kept from trusting the variance of the smaller group alone. Each rule is one-sided at alpha, so the interval shown is
the two-sided 1 - 2 alpha one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from training.domain.nouns import Evidence, RuleKind, VerdictKind
from training.domain.rules import Rule, conclude
from training.evaluation.intervals import Floats, Interval
from training.evaluation.magnitude import unit

RATIO_ALPHA = 0.001
"""A sample ratio this unlikely means that assignment or logging is broken (Fabijan et al. 2019 use the same order)."""

FEWEST = 10
"""Rows that each group needs for a verdict: with 2 to 5 a 0/1 metric passes by chance in 6 to 11% of experiments at alpha 5%."""


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
    evidence = [_measured(rule, control[rule.metric], treatment[rule.metric], alpha) for rule in rules]
    if min(a, b) < FEWEST:
        evidence = [replace(e, passed=False, refuted=False, note=f"{e.note}; a group has fewer than {FEWEST} rows") for e in evidence]
    evidence.append(sample_ratio(a, b, ratio))
    kind, reason = conclude(evidence)
    if not evidence[-1].passed:
        kind = VerdictKind.HOLD
        reason = f"The sample ratio is not the planned one ({evidence[-1].note}), so no other number of this experiment can be believed."
    elif min(a, b) < FEWEST:
        reason = f"A group has fewer than {FEWEST} rows ({a} control, {b} treatment), which show nothing at any error rate. Wait for more."
    return Judgement(kind, reason, tuple(evidence), a, b)


def _measured(rule: Rule, control: Floats, treatment: Floats, alpha: float) -> Evidence:
    size = unit(control, treatment)
    first, second = control / size, treatment / size
    before, after = float(first.mean()) * size, float(second.mean()) * size
    low, high = (end * size for end in difference_interval(first, second, alpha))
    return rule.measure(after - before, (low, high), len(control) + len(treatment), f"control {before:.6g}, treatment {after:.6g}")


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
    """Welch's interval of the difference of means (1947).

    A group without any variation gets the variance that it would have with one more row at either end of the pooled range, so that
    ten equal values do not count as certainty. One row, or one value in both groups, says nothing of its error: (-inf, inf).

    The error is at least that by the pooled variance: where large values are rare (spend), a small group has mostly none of them and would
    believe itself certain just when its mean is too low. With equal sizes both are the same number.
    """
    a, b = len(control), len(treatment)
    low, high = _pooled_range(control, treatment)
    if min(a, b) == 1 or low == high:
        return -np.inf, np.inf
    first, second = (_variance(group, low, high) for group in (control, treatment))
    part_a, part_b = first / a, second / b
    total = part_a + part_b
    pooled = ((a - 1) * first + (b - 1) * second) / (a + b - 2) * (1 / a + 1 / b)
    freedom = total**2 / (part_a**2 / (a - 1) + part_b**2 / (b - 1))
    half = float(stats.t.isf(alpha, freedom)) * float(np.sqrt(max(total, pooled)))
    gap = float(treatment.mean() - control.mean())
    return gap - half, gap + half


def _pooled_range(control: Floats, treatment: Floats) -> Interval:
    return float(min(control.min(), treatment.min())), float(max(control.max(), treatment.max()))


def _variance(group: Floats, low: float, high: float) -> float:
    if group.min() == group.max():
        group = np.append(group, (low, high))
    return float(group.var(ddof=1))


def sample_ratio(control: int, treatment: int, ratio: float) -> Evidence:
    """Whether the split differs from the planned one by more than chance.

    Value: treatment's share minus its planned share. The interval (99.9%) must contain the threshold 0; that is Pearson's chi-squared test.
    """
    n = control + treatment
    planned = ratio / (1.0 + ratio)
    low, high = (end - planned for end in wilson(treatment, n, RATIO_ALPHA / 2))
    p_value = float(stats.chisquare([control, treatment], [n * (1 - planned), n * planned]).pvalue)
    note = f"treatment has a share of {treatment / n:.4g}, planned {planned:.4g}, p = {p_value:.3g}"
    passed = bool(low <= 0.0 <= high)
    if not passed:
        note += "; assignment or logging is broken, or the plan was another: say --ratio CONTROL:TREATMENT"
    return Evidence("sample_ratio", RuleKind.SAMPLE_RATIO, treatment / n - planned, (low, high), 0.0, n, passed, note=note)
