"""From logged decisions to units, one row a member: who is compared from when on, and what became of them. A function of hash, day and labels alone.

A member enters with the first decision at which they are `counted` (domain.assignment), and belongs to the group that the hash says, whatever was logged:
intention to treat, so a challenger that fails and falls back answers for it. Cohorts are compared within (entry day, stage in which the member was last
seen waiting): a stage beyond a half makes challengers of members who had waited, and of the champion's members none like them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from training.domain.assignment import Group, Split, place
from training.domain.labels import OUTCOME_WINDOWS, VALUE
from training.domain.nouns import Label
from training.domain.served import FALLBACK
from training.evaluation.intervals import Floats, Ints

Flags = npt.NDArray[np.bool_]
EPOCH = date(1970, 1, 1)
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1) // MICROSECOND
SPAN = timedelta(days=7)
"""Decisions of this long after entry count for what happens after any of them."""
AT_ENTRY = (Label.RETAINED.value, Label.VISITED.value)
"""Outcomes that are the label of the entry decision itself; later decisions would reach into another time."""


@dataclass(frozen=True)
class Decisions:
    """n decisions ordered by member and time. `member` are codes into `ids`, `at` microseconds since 1970 UTC, `logged` codes into `groups` (as it was
    logged), `labels` 0/1 or money with NaN where they are immature.
    """

    ids: Sequence[str]
    member: Ints
    at: Ints
    groups: Sequence[str]
    logged: Ints
    labels: Mapping[str, Floats]

    @property
    def day(self) -> Ints:
        """UTC days since 1970."""
        return self.at // DAY


@dataclass(frozen=True)
class Units:
    """u members who entered. `row` is the entry decision; `waited` the stage in which the member was last seen without being compared (0: never)."""

    row: Ints
    member: Ints
    at: Ints
    stage: Ints
    waited: Ints
    treated: Flags
    place: Floats

    @property
    def day(self) -> Ints:
        """UTC day of entry, since 1970."""
        return self.at // DAY

    @property
    def cohort(self) -> Ints:
        """One code for all members who are compared with each other."""
        return self.day * (1 + int(self.waited.max(initial=0))) + self.waited


def days_since_epoch(day: date) -> int:
    """The unit of `Decisions.day`."""
    return (day - EPOCH).days


def places(salt: str, ids: Sequence[str]) -> Floats:
    """`domain.assignment.place` of each member."""
    return np.fromiter((place(salt, member) for member in ids), dtype=np.float64, count=len(ids))


def closes(metric: str) -> int | None:
    """Microseconds from a decision until the label is mature; None for what has no window."""
    window = OUTCOME_WINDOWS.get(Label.CONVERTED.value if metric == VALUE else metric)
    return window.closes // MICROSECOND if window else None


@dataclass(frozen=True)
class Assigned:
    """Places of all members under the split's two salts, hashed once: `fixed` decides on holdback and control, `own` on the challenger."""

    split: Split
    fixed: Floats
    own: Floats

    @classmethod
    def of(cls, split: Split, ids: Sequence[str]) -> Assigned:
        """Hash `ids`."""
        return cls(split, places(split.salt, ids), places(split.experiment, ids))

    @property
    def holdback(self) -> Flags:
        """Members who never get what is tried."""
        return self.fixed < self.split.holdback

    @property
    def control(self) -> Flags:
        """Members of the random control."""
        return ~self.holdback & (self.fixed >= 1.0 - self.split.control)

    @property
    def open(self) -> Flags:
        """Everyone else."""
        return ~self.holdback & ~self.control

    def stage(self, day: Ints) -> Ints:
        """Stage of each day, counted from 1; 0 before the first."""
        return np.searchsorted(np.array([days_since_epoch(first) for first, _ in self.split.stages], dtype=np.int64), day, side="right").astype(np.int64)

    def shares(self) -> Floats:
        """Share of the challenger by stage; 0 before the first."""
        return np.array([0.0, *(share for _, share in self.split.stages)])


def enter(decisions: Decisions, assigned: Assigned) -> Units:
    """Challenger and counted champion members, each with the first decision at which they are compared."""
    counted, stage = compared(decisions, assigned)
    rows = np.flatnonzero(counted)
    rows = rows[first_rows(decisions.member[rows])]
    member = decisions.member[rows]
    before = np.maximum(rows - 1, 0)
    waited = np.where((rows > 0) & (decisions.member[before] == member), stage[before], 0)
    own = assigned.own[member]
    treated = own < assigned.shares()[stage[rows]]
    return Units(rows, member, decisions.at[rows], stage[rows], waited, treated, own)


def compared(decisions: Decisions, assigned: Assigned) -> tuple[Flags, Ints]:
    """Whether each decision is one of a compared member (`domain.assignment.counted`), and the stage of its day."""
    stage = assigned.stage(decisions.day)
    share, own = assigned.shares()[stage], assigned.own[decisions.member]
    return assigned.open[decisions.member] & ((own < share) | (own >= np.maximum(share, 1.0 - share))), stage


def moved(units: Units, split: Split) -> Ints:
    """When a later stage makes a challenger of each champion member [u], in microseconds since 1970; the largest number for never, and for challengers."""
    when = np.full(len(units.row), np.iinfo(np.int64).max)
    for number, (first, share) in reversed(list(enumerate(split.stages, 1))):
        when = np.where(~units.treated & (units.stage < number) & (units.place < share), days_since_epoch(first) * DAY, when)
    return when


def outcomes(decisions: Decisions, rows: Ints, until: Ints) -> dict[str, Floats]:
    """What became of each unit that entered with the decision `rows` [u]; NaN where it is not surely known by `until` [u], microseconds since 1970.

    AT_ENTRY: the label of the entry decision. Amounts: their sum, everything else: whether it followed any decision, over SPAN after entry; these
    are known when the label of every decision that could still be taken in SPAN is mature. A label that is NaN for one of them leaves the outcome NaN.
    """
    at, found = decisions.at[rows], {}
    pairs = np.stack([rows, end_of(decisions, rows, at + SPAN // MICROSECOND)], axis=1).ravel()
    for metric, label in decisions.labels.items():
        wait = known_after(metric)
        if wait is None or not len(rows):
            found[metric] = np.full(len(rows), np.nan)
            continue
        total = np.add if metric == VALUE else np.maximum
        value = label[rows] if metric in AT_ENTRY else total.reduceat(np.append(label, 0.0), pairs)[::2]
        found[metric] = np.where(at + wait <= until, value, np.nan)
    return found


def known_after(metric: str) -> int | None:
    """Microseconds from a unit's decision until its outcome is surely known; None for what has no window."""
    window = closes(metric)
    return None if window is None else window + (0 if metric in AT_ENTRY else SPAN // MICROSECOND)


def end_of(decisions: Decisions, rows: Ints, before: Ints) -> Ints:
    """First row after all those of the same member earlier than `before` [u]."""
    instants = np.unique(decisions.at)
    size = len(instants) + 1
    key = decisions.member * size + np.searchsorted(instants, decisions.at)
    return np.searchsorted(key, decisions.member[rows] * size + np.searchsorted(instants, before)).astype(np.int64)


def first_rows(codes: Ints) -> Flags:
    """First row of each run of equal codes."""
    return np.append(True, codes[1:] != codes[:-1])[: len(codes)]


def arrivals(decisions: Decisions, assigned: Assigned, units: Units) -> list[tuple[list[int], list[float]]]:
    """Members of each group who came in each stage with their planned shares, as `assigned.assignment` takes them.

    Members who had waited are apart: holdback and control do not wait, and where the places lie at which they waited is known. So every share is exact
    whatever a group does to its members' later visits, as members count when they come first.
    """
    split, shares = assigned.split, assigned.shares()
    rows = np.flatnonzero(first_rows(decisions.member))
    member, stage = decisions.member[rows], assigned.stage(decisions.day[rows])
    begun = stage > 0
    held, random = (np.bincount(stage[begun & group[member]], minlength=len(shares)) for group in (assigned.holdback, assigned.control))
    found: list[tuple[list[int], list[float]]] = []
    for now in range(1, len(shares)):
        for before in range(now):
            mine = (units.stage == now) & (units.waited == before)
            counts = [int((mine & ~units.treated).sum()), int((mine & units.treated).sum())]
            low, high = (shares[before], 1.0 - shares[before]) if before else (0.0, 1.0)
            size = max(0.0, high - max(shares[now], 1.0 - shares[now])), max(0.0, min(shares[now], high) - low)
            rest = 1.0 - split.holdback - split.control
            planned = [rest * part for part in size]
            if not before:
                counts, planned = [*counts, int(held[now]), int(random[now])], [*planned, split.holdback, split.control]
            some = [i for i, part in enumerate(planned) if part > 0.0]
            if len(some) > 1:
                total = sum(planned)
                found.append(([counts[i] for i in some], [planned[i] / total for i in some]))
    return found


def disagreement(decisions: Decisions, considered: Flags, treated: Flags, names: tuple[Group, Group]) -> tuple[int, int]:
    """(decisions that were logged under another group than the hash says, decisions considered), fallbacks left out; `names` are those of (not) `treated`."""
    codes = {group: i for i, group in enumerate(decisions.groups)}
    taken = considered & (decisions.logged != codes.get(FALLBACK, -1))
    expected = np.where(treated, codes.get(names[1].value, -1), codes.get(names[0].value, -1))
    return int((taken & (decisions.logged != expected)).sum()), int(taken.sum())
