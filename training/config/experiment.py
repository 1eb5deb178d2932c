"""Settings of live judging: who is in which group, how a challenger is ramped up, and what is watched."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from itertools import pairwise

from pydantic import Field, field_validator, model_validator

from training.config.strict import Strict
from training.domain.assignment import Split
from training.domain.experiment import Experiment

MOST_APART = 0.5


class Early(StrEnum):
    """Early proxies of harm, known within two weeks: they can stop an experiment, never promote."""

    VISITED = "visited"
    OPTED_OUT = "opted_out"
    DISMISSED = "dismissed"


class SegmentSettings(Strict):
    """One `[[experiment.segments]]` entry: members are told apart by a column of `member_features` on the day they entered, a number by `edges`."""

    column: str = Field(min_length=1)
    edges: tuple[float, ...] = Field((), description="Ascending: 90 and 365 give three segments: below 90, 90 to 365, from 365")

    @field_validator("edges")
    @classmethod
    def _ascending(cls, edges: tuple[float, ...]) -> tuple[float, ...]:
        if any(b <= a for a, b in pairwise(edges)):
            raise ValueError(f"the edges {list(edges)} do not ascend, so no member would belong to some segment; sort them")
        return edges


class ExperimentSettings(Strict):
    """Live judging (stage B). Shares are of all members for `holdback` and `control`, of the others for the ramp."""

    live: bool = Field(True, description="A challenger that passes the screen replaces a champion only after a live experiment; false: at once")
    salt: str = Field(
        "rightmatch", min_length=1, description="Of holdback and control. Another salt chooses other members, and loses what they were held back for"
    )
    holdback: float = Field(0.05, ge=0, le=0.5, description="Long-term holdback: decided on by the version that promotions are watched against")
    control: float = Field(0.01, ge=0, le=0.5, description="Random control: every feasible arm has the same probability")
    ramp: tuple[float, ...] = Field(
        (0.10, 0.25, 0.50, 0.75), min_length=1, description="Shares of the challenger, stage by stage; after the last it is the champion"
    )
    longest_stage_days: int = Field(90, ge=29, description="A stage that held for so long ends the experiment: whoever could show more has entered by then")
    effect: float = Field(0.01, gt=0, description="Effect on a success metric, in its own unit, that an experiment is planned to find")
    early: dict[Early, float] = Field(
        default_factory=lambda: {Early.VISITED: 0.02, Early.OPTED_OUT: 0.002, Early.DISMISSED: 0.02},
        description="Early proxies and the loss of each that is still harmless",
    )
    segments: list[SegmentSettings] = Field(
        default_factory=lambda: [SegmentSettings(column="tenure_days", edges=(180.0,)), SegmentSettings(column="interest"), SegmentSettings(column="country")],
        description="A guardrail must hold in each segment of a tenth of the members or more",
    )
    slow_ms: float = Field(20.0, gt=0, description="A decision that takes the service longer is slow")
    slow_margin: float = Field(0.01, gt=0, description="Most that the share of slow decisions may rise")
    spend: bool = Field(
        True, description="Alpha is spent over all experiments together (LORD++), so that years of retraining do not promote a bad challenger by chance"
    )
    approval: bool = Field(False, description="A person must approve each stage")
    looked_within_hours: float = Field(4.0, gt=0, description="A roll-back that nobody has acknowledged by then raises a deadline alert")

    @model_validator(mode="after")
    def _checked(self) -> ExperimentSettings:
        if self.holdback + self.control > MOST_APART:
            raise ValueError(f"holdback {self.holdback} and control {self.control} leave less than half of the members to experiment with; lower one")
        if any(not 0 < s < 1 for s in self.ramp) or any(b <= a for a, b in pairwise(self.ramp)):
            raise ValueError(f"the ramp {list(self.ramp)} does not rise between 0 and 1; the champion itself is what comes after its last stage")
        return self

    @property
    def looked_within(self) -> timedelta:
        """The same as a duration."""
        return timedelta(hours=self.looked_within_hours)

    def split(self, running: Experiment | None) -> Split:
        """Who is in which group while `running` runs."""
        return Split(self.salt, self.holdback, self.control, *((running.experiment_id, running.stages) if running else ()))
