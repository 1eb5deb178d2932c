"""Live experiments through the whole ramp, many at once: what `units`, `looks` and the steps `look` and `ramp` do day by day, on sums.

Members come once, at noon of a day, and are split by their place as `domain.assignment` splits them: the challenger's share, as many of the champion's from
the other end, and whoever a later stage makes a challenger counts with what was known before. A test plays the same members through the steps
themselves, with real hashes and a real ledger, and compares every verdict of every day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bench.gate.judged import ALPHA, CONVERTED, NEVER, RULES, Days, Flags, wait
from bench.gate.worlds import earned
from training.domain.labels import VALUE
from training.domain.rules import Rule
from training.evaluation.assigned import ASSIGNED_ALPHA, log_bayes_factor
from training.evaluation.cohorts import Difference, Sums, difference
from training.evaluation.intervals import Floats, Ints
from training.evaluation.looks import Bounds, Measured, Role, Stage, bounds, levels, stage_of

HOLDBACK, CONTROL = 0.05, 0.01
LONGEST = 90
"""Days for which a stage may hold (`experiment.longest_stage_days`)."""
AT_ONCE = 500
STARTS = 2
"""Days from the look that passes a stage to the first day of the next: the first UTC midnight ahead once the day is over."""


@dataclass(frozen=True)
class Entered:
    """Members of one day by segment, class and experiment: `n` and the sum `hits` of each metric [segments, classes, experiments], with the sum of `squares`
    where a metric is not 0 or 1; `apart` [experiments, 2] are those of holdback and random control. The classes are the challenger's, the champion's who
    stay so, and those whom stage 2, 3, ... makes challengers.
    """

    n: Floats
    hits: Mapping[str, Floats]
    apart: Floats
    squares: Mapping[str, Floats] = field(default_factory=dict)


class Draw(Protocol):
    """Where members come from."""

    def __call__(self, day: int, stage: Ints) -> Entered:
        """Members of `day` (from 0) while each experiment is at its `stage` [experiments] (from 1)."""
        ...


@dataclass(frozen=True)
class Arriving:
    """Members of known truth: `daily` of all groups [days], and the chances of each metric in (champion, challenger), each [segments, days]. With `worth`,
    a conversion brings one of AMOUNTS, the challenger's times `worth`.
    """

    rng: np.random.Generator
    ramp: tuple[float, ...]
    daily: Ints
    chances: Mapping[str, tuple[Floats, Floats]]
    segments: tuple[float, ...] = (1.0,)
    worth: float | None = None

    def __call__(self, day: int, stage: Ints) -> Entered:
        """Drawn anew each time."""
        parts = np.array(self.segments)
        n, apart = np.zeros((len(parts), 1 + len(self.ramp), len(stage)), dtype=np.int64), np.zeros((len(stage), 2))
        for number in np.unique(stage):
            mine, sizes = stage == number, (1.0 - HOLDBACK - CONTROL) * sizes_of(self.ramp, int(number))
            chances = np.array([HOLDBACK, CONTROL, *np.outer(parts, sizes).ravel()])
            drawn = self.rng.multinomial(self.daily[day], np.append(chances, max(0.0, 1.0 - chances.sum())), int(mine.sum()))
            apart[mine], n[:, :, mine] = drawn[:, :2], drawn[:, 2:-1].T.reshape(len(parts), -1, int(mine.sum()))
        hits = {}
        for metric, (champion, challenger) in self.chances.items():
            chance = np.repeat(champion[:, day, None], n.shape[1], axis=1)
            chance[:, 0] = challenger[:, day]
            hits[metric] = self.rng.binomial(n, chance[:, :, None]).astype(np.float64)
        if self.worth is None:
            return Entered(n.astype(np.float64), hits, apart)
        money, squares = earned(self.rng, hits[CONVERTED.metric])
        money[:, 0], squares[:, 0] = money[:, 0] * self.worth, squares[:, 0] * self.worth**2
        return Entered(n.astype(np.float64), hits | {VALUE: money}, apart, {VALUE: squares})


@dataclass(frozen=True)
class Plan:
    """What is asked: `segments` are their shares of members, where there are any; members come on the first `days`, looks go on to day `looks`."""

    ramp: tuple[float, ...]
    days: int
    looks: int
    rules: tuple[tuple[Rule, float], ...] = RULES
    segments: tuple[float, ...] = ()
    alpha: float = ALPHA
    longest: int = LONGEST


def sizes_of(ramp: tuple[float, ...], stage: int) -> Floats:
    """Shares of the open members in each class at `stage`, as `Entered` orders them; the rest is not compared."""
    share, from_ = ramp[stage - 1], max(ramp[stage - 1], 1.0 - ramp[stage - 1])
    moving = [max(0.0, ramp[j] - max(from_, ramp[j - 1])) if j >= stage else 0.0 for j in range(1, len(ramp))]
    return np.array([share, 1.0 - max(from_, ramp[-1]), *moving])


@dataclass
class Experiments:
    """The state of all of them. Days count from 0; `first` is the first day of each stage, NEVER where it has not begun."""

    plan: Plan
    count: int
    n: Floats = field(init=False)
    hits: dict[str, Floats] = field(init=False)
    squares: dict[str, Floats] = field(init=False)
    first: Days = field(init=False)
    arrived: Floats = field(init=False)
    broken: Flags = field(init=False)
    promoted: Days = field(init=False)
    rejected: Days = field(init=False)
    stopped: Days = field(init=False)

    def __post_init__(self) -> None:
        stages = len(self.plan.ramp)
        shape = (max(1, len(self.plan.segments)), 1 + stages, self.count, self.plan.days)
        self.n, self.hits = np.zeros(shape), {rule.metric: np.zeros(shape) for rule, _ in self.plan.rules}
        self.squares = {metric: np.zeros(shape) if metric == VALUE else hits for metric, hits in self.hits.items()}
        self.first = np.full((stages, self.count), NEVER)
        self.first[0] = 0
        self.arrived = np.zeros((stages, self.count, 4))
        self.broken = np.zeros(self.count, dtype=np.bool_)
        self.promoted, self.rejected, self.stopped = (np.full(self.count, NEVER) for _ in range(3))

    @property
    def running(self) -> Flags:
        """Those that are not over."""
        return np.asarray(np.minimum(np.minimum(self.promoted, self.rejected), self.stopped) == NEVER)

    def stage(self, day: int) -> Ints:
        """How many stages of each have begun."""
        return np.asarray((self.first <= day).sum(axis=0), dtype=np.int64)

    def come(self, day: int, draw: Draw) -> None:
        """The members of a day."""
        stage = self.stage(day)
        now = draw(day, stage)
        self.n[..., day] = now.n
        for metric, hits in self.hits.items():
            hits[..., day] = now.hits[metric]
        for metric, squares in now.squares.items():
            self.squares[metric][..., day] = squares
        each = np.arange(self.count)
        self.arrived[stage - 1, each, 0] += now.n[:, 1:].sum(axis=(0, 1))
        self.arrived[stage - 1, each, 1] += now.n[:, 0].sum(axis=0)
        self.arrived[stage - 1, each, 2:] += now.apart

    def look(self, day: int) -> tuple[Flags, Flags]:
        """(promote, reject) [experiments] of the look of `day`, False for those that are over."""
        promote, reject, stage = np.zeros(self.count, dtype=np.bool_), np.zeros(self.count, dtype=np.bool_), self.stage(day)
        self._split(stage)
        for number in range(1, len(self.plan.ramp) + 1):
            mine = np.flatnonzero(self.running & (stage == number))
            if len(mine):
                promote[mine], reject[mine] = self._judged(day, mine, stage_of(self.plan.ramp, number))
        return promote & ~self.broken, reject & ~self.broken

    def act(self, day: int, promote: Flags, reject: Flags) -> None:
        """What the step `ramp` does with the look of `day`."""
        running, last = self.running, np.where(self.first < NEVER, self.first, -1).max(axis=0)
        opened, begun = (self.first < NEVER).sum(axis=0), last <= day
        self.rejected[running & reject] = day
        held = running & ~promote & ~reject
        self.stopped[held & (self.broken | (day - last >= self.plan.longest))] = day
        final = opened == len(self.plan.ramp)
        self.promoted[running & promote & begun & final] = day
        on = np.flatnonzero(running & promote & begun & ~final)
        self.first[opened[on], on] = day + STARTS

    def _split(self, stage: Ints) -> None:
        factor = np.zeros(self.count)
        for number in range(1, int(stage.max()) + 1):
            sizes = sizes_of(self.plan.ramp, number)
            planned = np.array([*((1.0 - HOLDBACK - CONTROL) * np.array([sizes[1:].sum(), sizes[0]])), HOLDBACK, CONTROL])
            factor += np.where(stage >= number, log_bayes_factor(self.arrived[number - 1], planned / planned.sum()), 0.0)
        self.broken |= factor >= np.log(1.0 / ASSIGNED_ALPHA)

    def _judged(self, day: int, mine: Ints, stage: Stage) -> tuple[Flags, Flags]:
        found: list[tuple[Measured, Bounds]] = []
        for rule, distance in self.plan.rules:
            whole = Measured(rule, 0.0, 0.0, (0, 0), distance)
            parts = [] if whole.success else [Measured(rule, 0.0, 0.0, (0, 0), 0.0, Role.SEGMENT, share) for share in self.plan.segments]
            found.append((whole, bounds(whole, self._gap(day, mine, rule.metric, slice(None)), levels(whole, self.plan.alpha, 1), stage.shown)))
            for i, part in enumerate(parts):
                level = levels(part, self.plan.alpha, len(parts))
                found.append((part, bounds(part, self._gap(day, mine, rule.metric, slice(i, i + 1)), level, stage.shown)))
        return concluded(found, stage)

    def _gap(self, day: int, mine: Ints, metric: str, segments: slice) -> Difference:
        """Challenger minus champion over all cohorts that are known at the end of `day` [experiments]."""
        delay = wait(metric)
        cohorts = np.arange(min(max(day + 1 - delay, 0), self.plan.days))
        if not len(cohorts):
            nothing = np.zeros(len(mine))
            return Difference(nothing, nothing + np.inf, nothing, nothing)
        arrays = (self.n, self.hits[metric], self.squares[metric]) if metric == VALUE else (self.n, self.hits[metric])
        n, *totals = (array[segments, :, :, : len(cohorts)][:, :, mine].sum(axis=0) for array in arrays)
        kept = np.ones((len(self.plan.ramp), len(mine), len(cohorts)))
        for j in range(1, len(self.plan.ramp)):
            begins = self.first[j, mine][:, None]
            kept[j] = (begins > day) | (cohorts[None, :] < begins - delay)
        control, treatment = [(array[1:] * kept).sum(axis=0) for array in (n, *totals)], [array[0] for array in (n, *totals)]
        found = difference(*(Sums(size, y, squares[0] if squares else y) for size, y, *squares in (control, treatment)))
        return Difference(*(np.asarray(getattr(found, name))[..., -1] for name in ("value", "error", "control", "treatment")))


def concluded(found: list[tuple[Measured, Bounds]], stage: Stage) -> tuple[Flags, Flags]:
    """(promote, reject) as `looks.look` concludes."""
    successes, guards = [b for m, b in found if m.success], [(m, b) for m, b in found if not m.success]
    reject = np.logical_or.reduce([b.refuted for _, b in guards]) | np.logical_and.reduce([b.refuted for b in successes])
    passed = [b.passed | ((m.role is Role.SEGMENT) & ~b.enough & (not stage.gain)) for m, b in guards]
    gained = np.logical_or.reduce([b.passed for b in successes]) | (not stage.gain)
    return np.logical_and.reduce(passed) & gained & ~reject, reject


@dataclass(frozen=True)
class Ended:
    """Day [experiments], counted from 1, on which each was promoted, rejected or stopped undecided; NEVER where it was not. `first` [stages, experiments]."""

    promoted: Days
    rejected: Days
    stopped: Days
    first: Days


def played(plan: Plan, count: int, draw: Draw) -> Ended:
    """`count` experiments until they are over, or the looks are; a few at a time, which is faster."""
    parts = []
    for begin in range(0, count, AT_ONCE):
        state = Experiments(plan, min(AT_ONCE, count - begin))
        for day in range(plan.looks):
            if day < plan.days:
                state.come(day, draw)
            state.act(day, *state.look(day))
            if not state.running.any():
                break
        parts.append(state)
    return Ended(*(np.concatenate([np.minimum(getattr(p, name) + 1, NEVER) for p in parts], axis=-1) for name in ("promoted", "rejected", "stopped", "first")))
