"""The ends of the scale: the uniform policy that everyone begins with, and the oracle that knows each arm's true utility."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from bench.world.history import History
from bench.world.score import Worth
from sources.simulated.policy import Asked, Chosen, draw, uniform


@dataclass(frozen=True)
class Uniform:
    """The logging policy."""

    learns: bool = False

    def learn(self, history: History, yesterday: date) -> None:
        """Nothing to learn."""

    def decide(self, history: History, asked: Asked, truth: Worth) -> Chosen:
        """See Player."""
        del truth
        return uniform(history.menus, asked)


@dataclass(frozen=True)
class Oracle:
    """The arm of the highest true utility of this decision (later ones are not planned for)."""

    learns: bool = False

    def learn(self, history: History, yesterday: date) -> None:
        """Nothing to learn."""

    def decide(self, history: History, asked: Asked, truth: Worth) -> Chosen:
        """See Player."""
        best = np.where(truth.feasible, truth.utility, -np.inf).argmax(axis=1)
        return draw(history.menus, asked, np.eye(truth.feasible.shape[1])[best], "oracle")
