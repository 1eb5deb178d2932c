"""The nouns on one page. Units: times are aware UTC instants, probabilities are in [0, 1], money is in the catalog's unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from math import isclose

NONE = "none"
"""The arm that shows nothing. It is a real arm: it has its own predictions and its own propensity."""

LOGGING_POLICY = "logging policy"
"""Name of the baseline where no champion is in charge yet."""


AT = "@"
"""Between the subject and the day in the run_id of a look: `look_id`. The screen's run_id is a day alone."""


def look_id(subject: str, day: date) -> str:
    """The run_id of the verdict of one look at `subject` (an experiment, or the watch over a version) with the data up to the end of `day`."""
    return f"{subject}{AT}{day.isoformat()}"


class Label(StrEnum):
    """What is learned and judged about one decision; its windows are in `domain.labels`."""

    CLICKED = "clicked"
    CONVERTED = "converted"
    VISITED = "visited"
    RETAINED = "retained"
    OPTED_OUT = "opted_out"


class Surface(StrEnum):
    """Where a decision is asked for; a channel belongs to one surface."""

    WEB = "web"
    APP = "app"
    OUTBOUND = "outbound"


class OutcomeKind(StrEnum):
    """What can happen after a decision."""

    IMPRESSION = "impression"
    CLICK = "click"
    DISMISS = "dismiss"
    CONVERSION = "conversion"
    OPT_OUT = "opt_out"


@dataclass(frozen=True)
class Member:
    """One member as the feature store knows them: feature name -> value (None where unknown)."""

    member_id: str
    features: Mapping[str, float | str | None]


@dataclass(frozen=True)
class Arm:
    """One product x creative x channel, or `none` (all three factors empty)."""

    arm_id: str
    product_id: str
    creative_id: str
    channel_id: str


@dataclass(frozen=True)
class Context:
    """The circumstances of one decision. `hour` is 0-23 UTC, `weekday` 0 is Monday."""

    surface: Surface
    hour: int
    weekday: int


@dataclass(frozen=True)
class Decision:
    """One choice with the exact probability of every feasible arm at that moment.

    `propensities` covers the feasible arms, sums to 1 and is positive at the choice: a Decision cannot be built without that.
    `excluded` names each arm that was not feasible and why.
    """

    decision_id: str
    member_id: str
    decided_at: datetime
    context: Context
    chosen_arm: str
    propensities: Mapping[str, float]
    model_version: str | None = None
    excluded: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isclose(sum(self.propensities.values()), 1.0, abs_tol=1e-6):
            total = sum(self.propensities.values())
            raise ValueError(f"Propensities of decision {self.decision_id} sum to {total}, not 1: every estimate from it would be biased.")
        if not self.propensities.get(self.chosen_arm, 0.0) > 0.0:
            raise ValueError(f"Decision {self.decision_id} chose {self.chosen_arm!r}, which had no probability: it could never be evaluated.")

    @property
    def propensity(self) -> float:
        """Probability with which the chosen arm was drawn."""
        return self.propensities[self.chosen_arm]


@dataclass(frozen=True)
class Outcome:
    """One thing that happened after a decision; `value` is money where the kind has any."""

    outcome_id: str
    decision_id: str
    kind: OutcomeKind
    occurred_at: datetime
    value: float | None = None


class RuleKind(StrEnum):
    """How a rule compares its measured value with its threshold."""

    SUPERIOR = "superior"
    NON_INFERIOR = "non_inferior"
    SAMPLE_RATIO = "sample_ratio"
    SUPPORT = "support"


class VerdictKind(StrEnum):
    """Three outcomes, never two: missing, immature or underpowered evidence is HOLD."""

    PROMOTE = "PROMOTE"
    REJECT = "REJECT"
    HOLD = "HOLD"


@dataclass(frozen=True)
class Evidence:
    """One rule, measured. `value` and `interval` are oriented so that larger is better for the challenger.

    `threshold` is what the interval's lower end must exceed. `refuted` says that the interval lies wholly on the wrong side,
    which is the difference between "harmful" (REJECT) and "not shown yet" (HOLD).
    """

    name: str
    kind: RuleKind
    value: float
    interval: tuple[float, float]
    threshold: float
    sample: int
    passed: bool
    refuted: bool = False
    note: str = ""


@dataclass(frozen=True)
class Verdict:
    """The judgement of one challenger with all its evidence and lineage (names of runs, versions, windows, seeds)."""

    run_id: str
    kind: VerdictKind
    challenger: str
    baseline: str
    evidence: tuple[Evidence, ...]
    reason: str
    judged_at: datetime
    lineage: Mapping[str, str] = field(default_factory=dict)
