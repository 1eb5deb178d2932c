"""Decisions as they are served and kept: everything that is needed to take one again. Times are aware UTC instants."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from training.domain.nouns import NONE, Context, Decision

FALLBACK, UNIFORM = "fallback", "uniform"
"""Assignment groups beside those of `assignment.Group`: of decisions that nobody could take, which are kept apart wherever policies are judged, and of those
that every feasible arm could win alike while there is no champion."""


NOTED_CATALOG = "catalog"
"""Under which a decision notes the version of the catalog that it was taken under."""

UNNAMED = "auto-"
"""How request ids begin that the service made up for callers who gave none: nobody can have asked under one before."""


class Reason(StrEnum):
    """Why a decision is what it is. All but the first two are fallbacks."""

    CHAMPION = "champion"
    """By the model of the member's group: the champion, or the one that takes its place in an experiment or for the holdback."""
    CONTROL = "control"
    """Random control: every feasible arm could win alike, on purpose."""
    NO_CHAMPION = "no_champion"
    CHAMPION_FAILED = "champion_failed"
    """The model of the member's group could not be loaded, or failed on the member."""
    UNKNOWN_MEMBER = "unknown_member"
    STALE_FEATURES = "stale_features"
    STORE_DOWN = "store_down"
    STATE_UNREADABLE = "state_unreadable"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question. `channels` None means all channels of the surface; `exclude` are arm ids that the caller rules out, and maybe a name that is no arm's and
    says what was offered.
    """

    decision_id: str
    request_id: str
    member_id: str
    at: datetime
    context: Context
    channels: tuple[str, ...] | None = None
    exclude: tuple[str, ...] = ()
    trace_id: str = ""
    """Of the trace that the question belongs to, 32 hexadecimal digits; empty where its caller named none."""


@dataclass(frozen=True, slots=True)
class MemberState:
    """What the log knows of a member and every decision must respect: messages of the last 7 days as (channel, instant), withdrawn channels.

    Messages with a later instant than now (a clock that jumped back) count too: a cap fails closed.
    """

    messages: tuple[tuple[str, datetime], ...] = ()
    withdrawn: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Served:
    """A decision with what it was taken from. `feasible` are arm ids in the order in which `p` [A] gives their probabilities.

    `model_version`, `posterior` (0: as trained), `arms_version` (of the arms' features), `features` (as served), `features_at` (their event time) and
    `u` in [0, 1), which picked the arm from `p`, are what a replay needs; a fallback has what was there.
    """

    asked: Asked
    chosen_arm: str
    channel_id: str
    """Empty where nothing is shown."""
    feasible: tuple[str, ...]
    p: npt.NDArray[np.float64]
    excluded: Mapping[str, str]
    """Arm id -> reason, without what the surface rules out."""
    reason: Reason
    group: str
    model_version: str
    posterior: int
    arms_version: str
    feature_service: str
    features: Mapping[str, float | str | None]
    features_at: datetime | None
    u: float
    expires_at: datetime
    notes: Mapping[str, str] = field(default_factory=dict)
    """What else a reader of the log should know: the settings that probabilities depend on, and the factors of the arm."""

    @property
    def propensity(self) -> float:
        """Probability with which the chosen arm was drawn; 1.0 where the answer was no draw."""
        return float(self.p[self.feasible.index(self.chosen_arm)])

    def decision(self) -> Decision:
        """As the domain's noun, which checks the probabilities. Raises ValueError where they do not add up."""
        a = self.asked
        pairs = dict(zip(self.feasible, self.p.tolist(), strict=True))
        return Decision(a.decision_id, a.member_id, a.at, a.context, self.chosen_arm, pairs, self.model_version or None, self.excluded)


def shows(served: Served) -> bool:
    """Whether the member sees anything, which counts against the caps."""
    return served.chosen_arm != NONE
