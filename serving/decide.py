"""One decision, pure: from what is known of the member to the arm and its exact propensity. Whatever is missing gives a marked, safe answer instead."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
import numpy.typing as npt

from serving.menus import Menu, Menus, agreed
from training.config.serving import ServingSettings, Without
from training.config.settings import Settings
from training.domain.assignment import chosen
from training.domain.nouns import NONE, Context
from training.domain.schema import FEATURE_SERVICE
from training.domain.served import CANARY, CHAMPION, FALLBACK, Asked, MemberState, Reason, Served
from training.model.compiled import pick

UNIFORM = "uniform"
"""Assignment group of decisions that every feasible arm could win alike, while there is no champion."""
_CERTAIN = np.ones(1)


class Scored(Protocol):
    """What a champion makes of a menu."""

    @property
    def p(self) -> npt.NDArray[np.float64]:
        """Probability of each feasible arm, [A]."""


class Scoring(Protocol):
    """What is asked of a champion (`training.model.compiled.Compiled`)."""

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


@dataclass(frozen=True)
class World:
    """Everything but the member, as of one moment; a batch of decisions reads one World. None means that it could not be read, or is not there.

    `canary` decides for its share of members while it is there.
    """

    menus: Menus
    champion: Scoring | None
    canary: Scoring | None
    paused: frozenset[str] | None
    serving: ServingSettings
    notes: Mapping[str, str] = field(default_factory=dict)
    """Kept with each decision: what a replay needs besides, such as the weights of the utility."""


@dataclass(frozen=True, slots=True)
class Features:
    """A member's online features and their event time."""

    values: Mapping[str, float | str | None]
    at: datetime


def decide(asked: Asked, features: Features | Reason, state: MemberState | None, world: World, u: float) -> Served:
    """Answer `asked`. `features` may be the reason why there are none, `state` None where the log could not be read; `u` in [0, 1) picks the arm."""
    if state is None or world.paused is None:
        return fallback(asked, Reason.STATE_UNREADABLE, world, u, features)
    if isinstance(features, Reason):
        return fallback(asked, features, world, u)
    if asked.at - features.at > world.serving.features_max_age:
        return fallback(asked, Reason.STALE_FEATURES, world, u, features)
    menu = world.menus.menu(asked, agreed(features.values.get("consents")), state, world.paused)
    scoring, group = _in_charge(asked.member_id, world)
    if scoring is None and world.serving.without_champion is Without.NONE:
        return fallback(asked, Reason.NO_CHAMPION, world, u, features)
    p = _probabilities(scoring, features, asked, menu)
    shown = menu.arms[pick(p, u)]
    arm = world.menus.catalog.arms.get(shown)
    return Served(
        asked=asked,
        chosen_arm=shown,
        channel_id=arm.channel_id if arm else "",
        feasible=menu.arms,
        p=p,
        excluded=menu.excluded,
        reason=Reason.CHAMPION if scoring else Reason.NO_CHAMPION,
        group=group,
        model_version=scoring.version if scoring else "",
        posterior=scoring.posterior if scoring else 0,
        arms_version=scoring.arms_version if scoring else "",
        feature_service=FEATURE_SERVICE,
        features=features.values,
        features_at=features.at,
        u=u,
        expires_at=asked.at + timedelta(minutes=world.serving.expires_minutes),
        notes={**world.notes, "product": arm.product_id, "creative": arm.creative_id} if arm else world.notes,
    )


def _in_charge(member_id: str, world: World) -> tuple[Scoring | None, str]:
    """Whose decision it is, and the group that is logged for it."""
    serving = world.serving
    if world.canary is not None and chosen(serving.canary_salt, member_id, serving.canary_share):
        return world.canary, CANARY
    return world.champion, CHAMPION if world.champion else UNIFORM


def _probabilities(champion: Scoring | None, features: Features, asked: Asked, menu: Menu) -> npt.NDArray[np.float64]:
    if champion is None:
        return np.full(len(menu.arms), 1.0 / len(menu.arms))
    return champion.score(features.values, asked.context, menu.positions).p


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
    )


def policy_note(settings: Settings) -> str:
    """The settings that probabilities depend on, as JSON."""
    return json.dumps({"exploration": settings.exploration.model_dump(), "utility": settings.utility.model_dump()}, sort_keys=True)
