"""The watch over a champion: everyone it decides for against the long-term holdback, by what became of all of them, those included who left.

A member counts once, from the first decision since the champion came into charge, and is followed for PERIODS of PERIOD days by intention to treat: in each
the label is that of the last decision of the period before, and whoever came to none is not retained. So harm through churn is seen in every later period
and adds up, and harm that begins late is seen too. Were those compared who come again (one row a member and period), the groups would differ by who
stayed, and what a champion loses would count once and fade.

The gap of each period is one of independent members, so each has a sequence of its own, by its share of alpha, fixed for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from training.domain.experiment import Experiment, State
from training.domain.nouns import Label
from training.evaluation.intervals import Floats, Ints
from training.evaluation.spending import gamma
from training.evaluation.units import DAY, Decisions, Flags, days_since_epoch, end_of, first_rows, known_after, outcomes, places

PERIOD = 28
"""Days of a period: as long as the longest label takes."""
PERIODS = 12
"""For which a member is followed: most of a year."""
HARM = 2.0
"""Margins beyond the margin at which the sequences are tightest: a holdback of few members finds large harm soon or small harm never."""
LASTING = frozenset({Label.OPTED_OUT.value})
"""What stays as it is once it happened: a member who opted out and left does not opt in by that."""
FOREVER = int(np.iinfo(np.int64).max)


def spent(alpha: float, number: int) -> float:
    """Alpha of the watch over the `number`-th champion, counted from 1: a third for the first, all together alpha, which bounds roll-backs by chance."""
    return float(alpha * gamma(number)[-1])


def level(period: int) -> float:
    """Part of alpha of the gap after `period`, counted from 1; those of all PERIODS together are 1. The first has half: soon found is less harm done."""
    return float(gamma(period)[-1] / gamma(PERIODS).sum())


def after(period: int) -> str:
    """When the gap of a period is known, in words; nothing for the first, which is the label's own time."""
    return f"after {period * PERIOD} days" if period > 1 else ""


@dataclass(frozen=True)
class Tried:
    """When one experiment gave each member [m] its challenger: [start, end) in microseconds since 1970; FOREVER where it never did."""

    start: Ints
    end: int

    @classmethod
    def of(cls, experiment: Experiment, ids: Sequence[str], open_: Flags) -> Tried:
        """By the experiment's stages and its end, whose whole day counts; `open_` are the members who take part in experiments."""
        own, start = places(experiment.experiment_id, ids), np.full(len(ids), FOREVER)
        ended = experiment.changed_at.date() + timedelta(days=1)
        for first, share in reversed(experiment.stages):
            if experiment.running or first < ended:  # else it was never given to anybody
                start = np.where(open_ & (own < share), days_since_epoch(first) * DAY, start)
        return cls(np.asarray(start, dtype=np.int64), FOREVER if experiment.running else days_since_epoch(ended) * DAY)

    def during(self, member: Ints, at: Ints) -> Flags:
        """Whether each decision fell in it."""
        return np.asarray((self.start[member] <= at) & (at < self.end), dtype=np.bool_)


def disturbing(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Experiments whose challengers did not get the champion. One that was promoted had ended when its challenger became the champion."""
    return [e for e in experiments if e.state not in {State.PROMOTED, State.ROLLED_BACK}]


def entered(decisions: Decisions, taking_part: Flags, begin: date) -> Ints:
    """Rows [u] with which members (`taking_part` [m]) enter: the first decision of each since the UTC day `begin`."""
    rows = np.flatnonzero(taking_part[decisions.member] & (decisions.day >= days_since_epoch(begin)))
    return np.asarray(rows[first_rows(decisions.member[rows])], dtype=np.int64)


def undisturbed(decisions: Decisions, rows: Ints, tried: Sequence[Tried], until: int) -> Ints:
    """Until when each unit [u] had the champion alone, `until` at most; -1 for one that entered with a challenger. A function of hash and day alone."""
    member, at, limit = decisions.member[rows], decisions.at[rows], np.full(len(rows), until)
    for one in tried:
        start = one.start[member]
        limit = np.where(one.during(member, at), -1, np.where(at < start, np.minimum(limit, start), limit))
    return np.asarray(limit, dtype=np.int64)


def followed(decisions: Decisions, rows: Ints, until: Ints) -> list[dict[str, Floats]]:
    """What became of each unit that entered with the decision `rows` [u], period by period as far as anything is known; NaN where it is not by `until` [u].

    All of a cohort are known at once, come or gone: a period's label by PERIOD days after it began, everything else as `units.outcomes` says of a decision
    at its beginning. Whoever came to no decision in the period before did nothing since; LASTING labels stay.
    """
    found: list[dict[str, Floats]] = []
    at = decisions.at[rows]
    for period in range(1, PERIODS + 1):
        begun = at + (period - 1) * PERIOD * DAY
        if period > 1 and not (begun < until).any():
            break
        row, came = _last(decisions, rows, begun, period)
        now = {}
        for metric, value in outcomes(decisions, row, np.full(len(rows), FOREVER)).items():
            wait = known_after(metric)
            seen = np.where(came, value, 0.0)
            if metric in LASTING and found:
                seen = np.maximum(seen, found[-1][metric])
            now[metric] = np.where((begun + wait <= until) if wait is not None else False, seen, np.nan)
        found.append(now)
    return found


def _last(decisions: Decisions, rows: Ints, begun: Ints, period: int) -> tuple[Ints, Flags]:
    """(the last decision [u] before `begun`, whether it was taken in the PERIOD days before); the entry itself in the first period."""
    if period == 1:
        return rows, np.ones(len(rows), dtype=np.bool_)
    row = end_of(decisions, rows, begun) - 1
    return row, np.asarray(decisions.at[row] >= begun - PERIOD * DAY, dtype=np.bool_)
