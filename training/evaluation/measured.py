"""From units to what a look judges: each metric's difference by cohort, with predictions where there are any, for everyone and for each segment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from training.domain.nouns import Evidence, RuleKind
from training.domain.rules import Rule
from training.evaluation.cohorts import Sums, difference, sums
from training.evaluation.intervals import Floats, Ints
from training.evaluation.looks import FEWEST, LEAST_SHARE, Measured, Role
from training.evaluation.units import Flags

AGREEMENT = 0.01
"""Most of the decisions that may be logged under another group than the hash says: beyond it the groups did not get what they were to get."""
LOWER = frozenset({"opted_out", "dismissed", "slow_decisions"})
"""Metrics of which less is better, where no rule of the settings says so."""
SLOW = "slow_decisions"


def gap(y: Floats, treated: Flags, cohort: Ints, predicted: Floats | None = None) -> tuple[float, float, tuple[int, int]]:
    """(difference, standard error, members of (control, treatment)) over all cohorts; an infinite error where nothing can be compared yet."""
    codes, names = np.unique(cohort, return_inverse=True)
    if not len(codes):
        return 0.0, np.inf, (0, 0)
    groups = (sums(y[mine], names[mine], len(codes), None if predicted is None else predicted[mine]) for mine in (~treated, treated))
    found = difference(*groups)
    return float(found.value[-1]), float(found.error[-1]), (int(found.control[-1]), int(found.treatment[-1]))


@dataclass(frozen=True)
class Compared:
    """Units and what became of them, ready to be measured. `predicted` was fixed at entry; `parts` are segments by name."""

    treated: Flags
    cohort: Ints
    outcomes: Mapping[str, Floats]
    predicted: Mapping[str, Floats] = field(default_factory=dict)
    parts: Mapping[str, Flags] = field(default_factory=dict)

    def rule(self, rule: Rule, distance: float = 0.0, role: Role = Role.FINAL) -> Measured:
        """One rule for everyone."""
        return self._measured(rule, np.ones(len(self.treated), dtype=np.bool_), distance, role)

    def segments(self, rule: Rule) -> list[Measured]:
        """One guardrail for each segment of LEAST_SHARE of the units or more."""
        shares = {name: float(part.mean()) if len(part) else 0.0 for name, part in self.parts.items()}
        return [self._measured(rule, self.parts[name], 0.0, Role.SEGMENT, (name, share)) for name, share in shares.items() if share >= LEAST_SHARE]

    def _measured(self, rule: Rule, part: Flags, distance: float, role: Role, where: tuple[str, float] = ("", 1.0)) -> Measured:
        y, predicted = self.outcomes[rule.metric], self.predicted.get(rule.metric)
        part = part & ~np.isnan(y)
        value, error, members = gap(y[part], self.treated[part], self.cohort[part], None if predicted is None else predicted[part])
        note = means(y[part], self.treated[part]) + (", with predictions" if predicted is not None else "")
        note += "; the same for everybody, which shows nothing: without such data, take the rule out of the settings" if _constant(y[part]) else ""
        return Measured(rule, value, error, members, distance, role, where[1], where[0], note)


def _constant(y: Floats) -> bool:
    """Whether what should vary does not, among enough members to say so."""
    return len(y) >= FEWEST and bool((y == y[0]).all())


def means(y: Floats, treated: Flags, names: tuple[str, str] = ("champion", "challenger")) -> str:
    """Means of both groups in words. They are pooled over cohorts, so their difference is not the one that is judged."""
    each = (f"{name} {float(y[mine].mean()):.4f}" if mine.any() else f"{name} -" for name, mine in zip(names, (~treated, treated), strict=True))
    return ", ".join(each)


def early(metric: str, margin: float) -> Rule:
    """An early proxy as a rule."""
    return Rule(metric, RuleKind.NON_INFERIOR, margin, metric in LOWER)


def slow_share(control: Mapping[date, tuple[int, int]], treatment: Mapping[date, tuple[int, int]], margin: float) -> Measured:
    """The share of slow decisions from (slow, all) of each day, compared within days: while the challenger's share grows, a service that gets slower for
    all would else look like its fault.
    """
    rule, days = early(SLOW, margin), sorted(control.keys() | treatment.keys())
    if not days:
        return Measured(rule, 0.0, np.inf, (0, 0))
    (a, n), (b, m) = (np.array([group.get(day, (0, 0)) for day in days], dtype=np.float64).T for group in (control, treatment))
    found = difference(Sums(n, a, a), Sums(m, b, b))
    p, q = (float(late.sum() / max(whole.sum(), 1.0)) for late, whole in ((a, n), (b, m)))
    members = int(found.control[-1]), int(found.treatment[-1])
    return Measured(rule, float(found.value[-1]), float(found.error[-1]), members, note=f"champion {p:.4f}, challenger {q:.4f}")


def agreement(wrong: int, considered: int) -> Evidence:
    """Whether decisions were logged under the group that the hash says. Value: minus the share that was not."""
    agreed = -wrong / considered if wrong else 0.0
    note = f"{wrong:,} of {considered:,} decisions ({-agreed:.2%}) were logged under another group than the hash says, limit {AGREEMENT:.0%}"
    return Evidence("assignment_agreement", RuleKind.SAMPLE_RATIO, agreed, (agreed, agreed), -AGREEMENT, considered, passed=agreed >= -AGREEMENT, note=note)


def split_by(values: pd.Series[Any], edges: Sequence[float] = ()) -> dict[str, Flags]:
    """Segments of LEAST_SHARE of the units or more by one column, named after it: a value each, or below, between and from `edges`; unknown is one too."""
    column, unknown = values.name, values.isna().to_numpy()
    if edges:
        codes = np.digitize(pd.to_numeric(values).to_numpy(dtype=np.float64), edges)
        names = [f"below {edges[0]:g}", *(f"{a:g} to {b:g}" for a, b in pairwise(edges)), f"from {edges[-1]:g}"]
    else:
        codes, unique = pd.factorize(values, sort=True)
        names = [str(name) for name in unique]
    sizes = np.bincount(codes[~unknown], minlength=len(names))
    found = {f"{column} {name}": (codes == i) & ~unknown for i, name in enumerate(names) if sizes[i] >= LEAST_SHARE * max(len(values), 1)}
    return found | ({f"{column} unknown": unknown} if unknown.any() and unknown.mean() >= LEAST_SHARE else {})
