"""The judgement of a table that is looked at again and again: `two_groups.judge` is for one look, this one is the live gate's rule on the same rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from training.domain.rules import Rule
from training.evaluation.assigned import assignment
from training.evaluation.cohorts import difference, sums
from training.evaluation.intervals import Floats
from training.evaluation.looks import Measured, look
from training.evaluation.magnitude import unit
from training.evaluation.sequential import planned_error
from training.evaluation.two_groups import Judgement

Groups = tuple[Mapping[str, Floats], Mapping[str, Floats]]
"""Metric columns of (control, treatment), one row a member."""


def judge_look(groups: Groups, rules: Sequence[Rule], alpha: float, ratio: float, planned: int) -> Judgement:
    """Judge what is there so far of an experiment of `planned` rows in both groups; `ratio` is the planned treatment / control size.

    Holds over all looks at the growing table together. The sequences are tightest where the planned rows are there.
    """
    a, b = (len(next(iter(g.values()))) for g in groups)
    measured = [_measured(rule, (groups[0][rule.metric], groups[1][rule.metric]), alpha, (a + b) / planned) for rule in rules]
    found = look(measured, [assignment([((a, b), (1.0 / (1.0 + ratio), ratio / (1.0 + ratio)))])], alpha)
    return Judgement(found.kind, found.reason, found.evidence, a, b)


def _measured(rule: Rule, columns: tuple[Floats, Floats], alpha: float, progress: float) -> Measured:
    size = unit(*columns)
    found = difference(*(sums(column / size, np.zeros(len(column), dtype=np.int64), 1) for column in columns))
    value, error = float(found.value[0]) * size, float(found.error[0]) * size
    known = error if np.isfinite(error) else 1.0
    distance = known * np.sqrt(progress) / planned_error(1.0, alpha)  # that of which the planned error is error x sqrt(progress)
    before, after = (float((column / size).mean()) * size for column in columns)
    return Measured(rule, value, error, (len(columns[0]), len(columns[1])), distance, note=f"control {before:.6g}, treatment {after:.6g}")
