"""What a played day is made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from sources.simulated.members import Members
from sources.simulated.play_client import Answer
from sources.simulated.play_kept import Kept
from sources.simulated.policy import Asked, Menus
from sources.simulated.world import World


@dataclass(frozen=True)
class Stage:
    """What does not change while a world is played."""

    world: World
    members: Members
    menus: Menus
    kept: Kept
    inbox: Path
    truth: Path


@dataclass
class Today:
    """One day on its way: its questions in the order of members, the answers so far, and the ids of outcomes that the service has heard."""

    asked: Asked
    ids: list[str]
    answers: dict[int, Answer] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
