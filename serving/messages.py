"""What goes over the wire: requests and answers, checked when they are read. The OpenAPI schemas are made from these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from training.domain.nouns import NONE, OutcomeKind, Surface
from training.domain.served import Served

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f\ud800-\udfff]+$(?!\n)")]
"""An id: no control characters, nor Python's newline behind the end."""
MOST_OUTCOMES = 1_000
_CHANNELS = "Only these channels of the surface; null: all of them. A name that is no channel of it adds none, so where no other is named nothing is shown."
_EXCLUDE = "Ids of arms that the caller rules out. Arms come and go, so an id that the catalog does not have is no error: it rules out nothing."


class DecisionRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Who is to be shown something, and where."""

    member_id: Name
    surface: Surface
    channels: Annotated[list[Name], msgspec.Meta(max_length=64, description=_CHANNELS)] | None = None
    exclude: Annotated[list[Name], msgspec.Meta(max_length=512, description=_EXCLUDE)] = []
    request_id: Name | None = None
    """The same one again returns the same decision."""
    at: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    """The instant of the request; only where the service runs on the data's clock."""


class Shown(msgspec.Struct):
    """An arm and its factors."""

    arm_id: str
    product: str
    creative: str
    channel: str


class DecisionAnswer(msgspec.Struct):
    """What to show (`arm` null: nothing), with the exact probability that it was drawn with."""

    decision_id: str
    arm: Shown | None
    propensity: float
    model_version: str | None
    expires_at: datetime
    reason: str


class OutcomeItem(msgspec.Struct, forbid_unknown_fields=True):
    """One thing that happened after a decision."""

    outcome_id: Name
    decision_id: Name
    kind: OutcomeKind
    occurred_at: Annotated[datetime, msgspec.Meta(tz=True)]
    value: float | None = None


class Refused(msgspec.Struct):
    """One outcome that was not applied, and why."""

    index: int
    outcome_id: str | None
    why: str


class OutcomeAnswer(msgspec.Struct):
    """What became of a batch: all that is `accepted` is durable."""

    accepted: int
    repeated: int
    refused: list[Refused] = []


class ArmConsidered(msgspec.Struct):
    """One arm of a decision: its probability, and the mean and standard deviation of its utility over the posterior draws."""

    arm_id: str
    propensity: float
    mean: float | None = None
    sd: float | None = None


class DecisionRecord(msgspec.Struct):
    """A decision with all that it was taken from: enough to take it again."""

    decision_id: str
    request_id: str
    member_id: str
    surface: str
    decided_at: datetime
    expires_at: datetime
    arm: Shown | None
    propensity: float
    reason: str
    assignment_group: str
    considered: list[ArmConsidered]
    excluded: dict[str, str]
    features: dict[str, float | str | None]
    features_at: datetime | None
    feature_age_hours: float | None
    feature_service: str
    model_version: str | None
    posterior: int
    arms_version: str
    data_window: dict[str, str]
    u: float
    trace_id: str
    """Of the request, by its `traceparent`; empty without one."""
    explained: str
    """Empty, or why means and deviations are missing."""
    outcomes: list[OutcomeItem]


class Problem(msgspec.Struct, omit_defaults=True):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str = ""
    accepted: int | None = None
    repeated: int | None = None
    refused: list[Refused] | None = None


def shown(served: Served) -> Shown | None:
    """The arm of a decision, None where nothing is shown."""
    if served.chosen_arm == NONE:
        return None
    return Shown(served.chosen_arm, served.notes["product"], served.notes["creative"], served.channel_id)


def answer(served: Served) -> DecisionAnswer:
    """A decision as its caller sees it."""
    version = served.model_version or None
    return DecisionAnswer(served.asked.decision_id, shown(served), served.propensity, version, served.expires_at, served.reason.value)
