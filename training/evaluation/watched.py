"""The watch over a champion: everyone it decides for against the long-term holdback, again and again, so that harm which begins late is seen as well.

Units are members by periods of PERIOD: each enters again with the first decision of every period since the champion came into charge. Rows of one member
are no independent witnesses, so the error is that of sums by member (Liang and Zeger 1986). Shares are no test here: a policy that keeps more of
its members has more of them who come, which is what is looked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from training.domain.experiment import Experiment, State
from training.evaluation.cohorts import difference, sums
from training.evaluation.intervals import Floats, Ints
from training.evaluation.spending import gamma
from training.evaluation.units import DAY, Decisions, Flags, days_since_epoch, places

PERIOD = 28
"""Days after which a member enters again: as long as the longest label takes."""
HARM = 3.0
"""Margins beyond the margin at which the sequences are tightest: a holdback of few members finds large harm soon or small harm never."""
FOREVER = int(np.iinfo(np.int64).max)


def spent(alpha: float, number: int) -> float:
    """Alpha of the watch over the `number`-th champion, counted from 1: a third for the first, all together alpha, which bounds roll-backs by chance."""
    return float(alpha * gamma(number)[-1])


@dataclass(frozen=True)
class Tried:
    """When one experiment gave each member [m] its challenger: [start, end) in microseconds since 1970; FOREVER where it never did."""

    start: Ints
    end: int

    @classmethod
    def of(cls, experiment: Experiment, ids: Sequence[str], open_: Flags) -> Tried:
        """By the experiment's stages and its end, whose whole day counts; `open_` are the members who take part in experiments."""
        own, start = places(experiment.experiment_id, ids), np.full(len(ids), FOREVER)
        for first, share in reversed(experiment.stages):
            start = np.where(open_ & (own < share), days_since_epoch(first) * DAY, start)
        ended = experiment.changed_at.date() + timedelta(days=1)
        return cls(np.asarray(start, dtype=np.int64), FOREVER if experiment.running else days_since_epoch(ended) * DAY)

    def during(self, member: Ints, at: Ints) -> Flags:
        """Whether each decision fell in it."""
        return np.asarray((self.start[member] <= at) & (at < self.end), dtype=np.bool_)


def disturbing(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Experiments whose challengers did not get the champion. One that was promoted had ended when its challenger became the champion."""
    return [e for e in experiments if e.state not in {State.PROMOTED, State.ROLLED_BACK}]


def returning(decisions: Decisions, taking_part: Flags, begin: date) -> Ints:
    """Rows [u] with which members (`taking_part` [m]) enter: the first decision of each PERIOD since the UTC day `begin`."""
    rows = np.flatnonzero(taking_part[decisions.member] & (decisions.day >= days_since_epoch(begin)))
    period = (decisions.day[rows] - days_since_epoch(begin)) // PERIOD
    member = decisions.member[rows]
    new = np.append(True, (member[1:] != member[:-1]) | (period[1:] != period[:-1]))[: len(rows)]
    return np.asarray(rows[new], dtype=np.int64)


def undisturbed(decisions: Decisions, rows: Ints, tried: Sequence[Tried], until: int) -> Ints:
    """Until when each unit [u] had the champion alone, `until` at most; -1 for one that entered with a challenger."""
    member, at, limit = decisions.member[rows], decisions.at[rows], np.full(len(rows), until)
    for one in tried:
        start = one.start[member]
        limit = np.where(one.during(member, at), -1, np.where(at < start, np.minimum(limit, start), limit))
    return np.asarray(limit, dtype=np.int64)


def clustered(y: Floats, treated: Flags, cohort: Ints, member: Ints) -> tuple[float, float, tuple[int, int]]:
    """(difference, standard error by member, members of (control, treatment)) of units [u]; the error is at least that of independent rows."""
    codes, names = np.unique(cohort, return_inverse=True)
    if not len(codes):
        return 0.0, np.inf, (0, 0)
    first, second = (sums(y[mine], names[mine], len(codes)) for mine in (~treated, treated))
    found = difference(first, second)
    usable = (first.n > 1) & (second.n > 1)
    weight = np.where(usable, first.n * second.n / np.maximum(first.n + second.n, 1.0), 0.0)
    weight = weight / max(float(weight.sum()), 1e-300)
    n, total = (np.where(treated, getattr(second, name)[names], getattr(first, name)[names]) for name in ("n", "y"))
    n = np.maximum(n, 1.0)
    part = weight[names] * (y - total / n) / np.sqrt(n * np.maximum(n - 1.0, 1.0))
    by_member = np.bincount(member, weights=part)
    counted = usable[names]
    members = tuple(len(np.unique(member[counted & mine])) for mine in (~treated, treated))
    error = max(float(found.error[-1]), float(np.sqrt(np.square(by_member).sum())))
    return float(found.value[-1]), error, (members[0], members[1])
