"""How many members and days a live experiment needs before it starts: for one fixed look, and for the sequences that the gate reads daily.

A rule passes with probability Phi(distance / s - m) at a look of standard error s, with m = z(alpha) for a fixed look and m the sequence's radius in
standard errors. The sequential sample asks that of its last look alone, so the gate finds it more often, and most often much earlier: `simulate`.
The chance to miss is split over the rules (beta / number of rules), since each of them has to pass (Schultzberg et al. 2024, section 4).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt
from scipy import stats

from training.domain.rules import Rule
from training.evaluation.intervals import Floats
from training.evaluation.looks import FEWEST
from training.evaluation.sequential import FIRST, LAST, multiplier, planned_error, refuting
from training.evaluation.watched import HARM, level

EXPERIMENTS = 4000
A_YEAR = 365
FARTHEST = 100.0
"""Of the planned information; a goal beyond it is no plan."""


@dataclass(frozen=True)
class Goal:
    """One rule, the standard deviation of its metric, the true improvement assumed (in the rule's direction), and days until its label is mature."""

    rule: Rule
    deviation: float
    effect: float
    delay: int

    @property
    def distance(self) -> float:
        """From the assumed truth to the threshold."""
        return self.effect + self.rule.margin

    def planned(self, alpha: float) -> float:
        """The standard error for which the gate tunes this rule's sequence: by the margin, or by the effect of a success metric."""
        return planned_error(self.rule.margin or self.effect, alpha)


@dataclass(frozen=True)
class Traffic:
    """`daily` members who enter the experiment's world, and the shares of them that come to control and to treatment."""

    daily: float
    control: float = 0.5
    treatment: float = 0.5

    def __post_init__(self) -> None:
        if not (self.daily > 0 and 0 < self.control < 1 and 0 < self.treatment < 1 and self.control + self.treatment <= 1 + 1e-9):
            shares = f"{self.daily:g} members a day with shares {self.control:g} and {self.treatment:g}"
            raise ValueError(f"{shares} is no traffic: members and shares must be above 0, and shares are parts of one whole.")

    def days(self, error: float, deviation: float) -> int:
        """Days of entering until the difference of the groups has that standard error, and each of them the fewest members that are judged."""
        for_error = (deviation / error) ** 2 * (1.0 / self.control + 1.0 / self.treatment)
        return ceil(round(max(for_error, FEWEST / min(self.control, self.treatment)) / self.daily, 9))


@dataclass(frozen=True)
class Need:
    """Of one rule: days on which members have to enter, for one fixed look and for daily looks."""

    goal: Goal
    fixed_days: int
    days: int


def needs(goals: Sequence[Goal], traffic: Traffic, alpha: float, power: float) -> list[Need]:
    """For all rules to pass with probability `power` at least. Raises ValueError where the assumed truth lies beyond a threshold."""
    each = 1.0 - (1.0 - power) / len(goals)
    found = []
    for goal in goals:
        fixed = planned_error(goal.distance, alpha, each)
        found.append(Need(goal, traffic.days(fixed, goal.deviation), traffic.days(sequential_error(goal, alpha, each), goal.deviation)))
    return found


def sequential_error(goal: Goal, alpha: float, power: float) -> float:
    """The largest standard error at which the goal's sequence passes with that probability."""
    planned = goal.planned(alpha)
    progress = np.concatenate([np.geomspace(FIRST, LAST, 2000), np.geomspace(LAST * (1 + 1e-9), FARTHEST, 2000)])
    enough = goal.distance * np.sqrt(progress) / planned - multiplier(progress, alpha) >= stats.norm.ppf(power)
    if not enough.any():
        why = f"{goal.rule.metric}: no sample reaches power {power:g} for a distance of {goal.distance:g}"
        raise ValueError(f"{why}. Assume a larger effect or a wider margin.")
    return float(planned / np.sqrt(progress[enough.argmax()]))


def simulate(goals: Sequence[Goal], traffic: Traffic, days: int, alpha: float, rng: np.random.Generator) -> Floats:
    """Day [experiments] on which all rules pass together, labels included; infinite where never. Estimates are Brownian in information."""
    looks = days + max(g.delay for g in goals)
    passing = np.ones((EXPERIMENTS, looks), dtype=bool)
    for goal in goals:
        passing &= _passes(goal, traffic, (days, looks), alpha, rng)
    return np.where(passing.any(axis=1), passing.argmax(axis=1) + 1.0, np.inf)


def shortest(goals: Sequence[Goal], traffic: Traffic, days: int, levels: tuple[float, float], seed: int) -> int:
    """The fewest days of entering, up to `days`, at which simulated experiments have the power of `levels` = (alpha, power); the same draws throughout."""
    alpha, power = levels
    low, high = 0, days
    while high - low > 1:
        middle = (low + high) // 2
        enough = np.isfinite(simulate(goals, traffic, middle, alpha, np.random.default_rng(seed))).mean() >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def found_by_watch(goal: Goal, loss: float, traffic: Traffic, alpha: float) -> int | None:
    """Days from the promotion, the label included, after which the watch has found in about half of cases that `loss` of the rule's metric was lost once.

    `traffic` splits members into holdback (control) and champion (treatment); `alpha` is the watch's. None where it takes more than A_YEAR.
    """
    days, level_ = np.arange(1, A_YEAR + 1 - goal.delay), alpha * level(1)
    held, others = (days * traffic.daily * share for share in (traffic.control, traffic.treatment))
    error = goal.deviation * np.sqrt(1.0 / held + 1.0 / others)
    beyond = loss - goal.rule.margin >= refuting(error, planned_error(HARM * goal.rule.margin, level_), level_)
    beyond &= np.minimum(held, others) >= FEWEST
    return int(days[beyond.argmax()]) + goal.delay if beyond.any() else None


def _passes(goal: Goal, traffic: Traffic, days: tuple[int, int], alpha: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    entered = np.clip(np.arange(1, days[1] + 1) - goal.delay, 0, days[0])
    variance = goal.deviation**2 * (1.0 / traffic.control + 1.0 / traffic.treatment) / traffic.daily
    information = entered / variance
    steps = np.diff(information, prepend=0.0)
    path = (rng.normal(size=(EXPERIMENTS, days[1])) * np.sqrt(steps)).cumsum(axis=1)
    known = information > 0.0
    error = 1.0 / np.sqrt(np.where(known, information, 1.0))
    height = error * multiplier(np.where(known, np.square(goal.planned(alpha) / error), FIRST / 2), alpha)
    few = entered * traffic.daily * min(traffic.control, traffic.treatment) < FEWEST
    return np.asarray(goal.distance + path * np.square(error) > np.where(few | ~known, np.inf, height))
