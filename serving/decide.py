"""One decision, pure: from what is known of the member to the arm and its exact propensity. Whatever is missing gives a marked, safe answer instead."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from serving.menus import Menu, Menus, agreed
from training.config.serving import ServingSettings, Without
from training.config.settings import Settings
from training.domain.assignment import Group, Split
from training.domain.nouns import NONE, Context
from training.domain.schema import FEATURE_SERVICE
from training.domain.served import FALLBACK, UNIFORM, Asked, MemberState, Reason, Served
from training.model.compiled import pick

_CERTAIN = np.ones(1)


class Scored(Protocol):
    """What a champion makes of a menu."""

    @property
    def p(self) -> npt.NDArray[np.float64]:
        """Probability of each feasible arm, [A]."""


class Scoring(Protocol):
    """What is asked of a model (`training.model.compiled.Compiled`)."""

    @property
    def version(self) -> str:
        """Of the model."""

    @property
    def posterior(self) -> int:
        """Of its heads; 0 as trained."""

    @property
    def arms_version(self) -> str:
        """Of the arms' features."""

    def score(self, features: Mapping[str, object], context: Context, feasible: Sequence[int]) -> Scored:
        """The menu, by position in the champion's book."""


_WHOLE = Split("", 0.0, 0.0)
"""Everybody is the champion's."""


@dataclass(frozen=True)
class Groups:
    """Who is in which group, and whose model decides for challenger and holdback. None could not be loaded: the members of its group get the safe default,
    since a decision by another model would be counted as that group's.
    """

    split: Split = _WHOLE
    challenger: Scoring | None = None
    holdback: Scoring | None = None

    def exposure(self, day: date) -> dict[str, str]:
        """What is noted with each decision of `day`: experiment and stage while one runs."""
        return {"experiment": self.split.experiment, "stage": str(self.split.stage(day))} if self.split.experiment else {}


@dataclass(frozen=True)
class World:
    """Everything but the member, as of one moment; a batch of decisions reads one World. None means that it could not be read, or is not there."""

    menus: Menus
    champion: Scoring | None
    paused: frozenset[str] | None
    serving: ServingSettings
    notes: Mapping[str, str] = field(default_factory=dict)
    """Kept with each decision: what a replay needs besides, such as the weights of the utility."""
    groups: Groups = Groups()


@dataclass(frozen=True, slots=True)
class Features:
    """A member's online features and their event time."""

    values: Mapping[str, float | str | None]
    at: datetime


class Open(NamedTuple):
    """A decision of which all is known but what the model makes of the menu. `scoring` None draws every feasible arm alike."""

    asked: Asked
    features: Features
    world: World
    day: date
    menu: Menu
    group: str
    reason: Reason
    scoring: Scoring | None
    u: float

    def score(self) -> npt.NDArray[np.float64]:
        """Probability of each feasible arm [A]. Raises whatever the model raises."""
        menu = self.menu
        return even(len(menu.arms)) if self.scoring is None else self.scoring.score(self.features.values, self.asked.context, menu.positions).p

    def close(self, p: npt.NDArray[np.float64]) -> Served:
        """Under the probabilities `p` [A]."""
        asked, world, menu, scoring = self.asked, self.world, self.menu, self.scoring
        shown = menu.arms[pick(p, self.u)]
        arm = world.menus.catalog.arms.get(shown)
        return Served(
            asked=asked,
            chosen_arm=shown,
            channel_id=arm.channel_id if arm else "",
            feasible=menu.arms,
            p=p,
            excluded=menu.excluded,
            reason=self.reason,
            group=self.group,
            model_version=scoring.version if scoring else "",
            posterior=scoring.posterior if scoring else 0,
            arms_version=scoring.arms_version if scoring else "",
            feature_service=FEATURE_SERVICE,
            features=self.features.values,
            features_at=self.features.at,
            u=self.u,
            expires_at=asked.at + timedelta(minutes=world.serving.expires_minutes),
            notes={**world.notes, **world.groups.exposure(self.day), **({"product": arm.product_id, "creative": arm.creative_id} if arm else {})},
        )


Question = tuple[Asked, Features | Reason, MemberState | None, World, float]
"""What `weigh` takes."""


def decide(asked: Asked, features: Features | Reason, state: MemberState | None, world: World, u: float) -> Served:
    """Answer `asked`, as `weigh` says."""
    found = weigh(asked, features, state, world, u)
    return found.close(found.score()) if isinstance(found, Open) else found


def together(questions: Sequence[Question]) -> list[Served]:
    """As `decide` each, one part of the work after the other: each is quicker while its own code and tables are in the processor's cache.

    Raises whatever one of them raises.
    """
    found = [weigh(*question) for question in questions]
    scores = [one.score() if isinstance(one, Open) else _CERTAIN for one in found]
    return [one.close(p) if isinstance(one, Open) else one for one, p in zip(found, scores, strict=True)]


def weigh(asked: Asked, features: Features | Reason, state: MemberState | None, world: World, u: float) -> Open | Served:
    """What `asked` may be answered with. `features` may be the reason why there are none, `state` None where the log could not be read; `u` in [0, 1) picks
    the arm.
    """
    if state is None or world.paused is None:
        return fallback(asked, Reason.STATE_UNREADABLE, world, u, features)
    if isinstance(features, Reason):
        return fallback(asked, features, world, u)
    if asked.at - features.at > world.serving.features_max_age:
        return fallback(asked, Reason.STALE_FEATURES, world, u, features)
    if world.champion is None and world.serving.without_champion is Without.NONE:
        return fallback(asked, Reason.NO_CHAMPION, world, u, features)
    day = _day(asked)
    group, reason, scoring = _taker(asked.member_id, day, world)
    if reason is Reason.CHAMPION_FAILED:
        return fallback(asked, reason, world, u, features)
    menu = world.menus.menu(asked, agreed(features.values.get("consents")), state, world.paused)
    return Open(asked, features, world, day, menu, group, reason, scoring, u)


def _day(asked: Asked) -> date:
    """The UTC day by which groups go."""
    return asked.at.astimezone(UTC).date()


def _taker(member_id: str, day: date, world: World) -> tuple[str, Reason, Scoring | None]:
    """The member's group, why it decides so, and whose model does; None draws every feasible arm alike."""
    if world.champion is None:
        return UNIFORM, Reason.NO_CHAMPION, None
    group = world.groups.split.group(member_id, day)
    match group:
        case Group.CONTROL:
            return group.value, Reason.CONTROL, None
        case Group.CHALLENGER:
            scoring = world.groups.challenger
        case Group.HOLDBACK:
            scoring = world.groups.holdback
        case Group.CHAMPION:
            scoring = world.champion
    return group.value, Reason.CHAMPION if scoring else Reason.CHAMPION_FAILED, scoring


def even(arms: int) -> npt.NDArray[np.float64]:
    """The probabilities of arms that may win alike, [arms]."""
    return np.full(arms, 1.0 / arms)


def fallback(asked: Asked, reason: Reason, world: World, u: float, features: Features | Reason = Reason.STORE_DOWN) -> Served:
    """The safe default: `none` with certainty, which no judging of policies counts."""
    known = features if isinstance(features, Features) else None
    return Served(
        asked=asked,
        chosen_arm=NONE,
        channel_id="",
        feasible=(NONE,),
        p=_CERTAIN,
        excluded={},
        reason=reason,
        group=FALLBACK,
        model_version="",
        posterior=0,
        arms_version="",
        feature_service=FEATURE_SERVICE,
        features=known.values if known else {},
        features_at=known.at if known else None,
        u=u,
        expires_at=asked.at + timedelta(minutes=world.serving.expires_minutes),
        notes=world.groups.exposure(_day(asked)),
    )


def policy_note(settings: Settings) -> str:
    """The settings that probabilities depend on, as JSON."""
    return json.dumps({"exploration": settings.exploration.model_dump(), "utility": settings.utility.model_dump()}, sort_keys=True)
