"""The platform's own path: `fit` each retrain, `updated` each day between, exact propensities by `policy_probabilities`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from bench.world.history import History
from bench.world.score import Worth
from sources.simulated.policy import Asked, Chosen, draw
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.nouns import Label
from training.model.fit import fit
from training.model.matching import MatchingModel
from training.model.optimise import Progress
from training.model.policy import policy_probabilities
from training.model.update import updated
from training.model.width import with_width


@dataclass
class Ours:
    """Retrained every `every` days on all members: nobody is judged here, so nobody is held out."""

    settings: Settings
    seed: int
    every: int
    progress: Progress
    learns: bool = True
    _model: MatchingModel | None = None
    _days: int = 0
    _arms: Mapping[str, Mapping[str, object]] = field(default_factory=dict)

    def learn(self, history: History, yesterday: date) -> None:
        """See Player."""
        catalog = load_catalog(self.settings.catalog)
        if self._model is None or self._days % self.every == 0:
            frame = history.training(yesterday)
            model = fit(frame, catalog, self.settings.training, self.seed, self.progress)
            self._model = with_width(model, frame, frame, catalog, self.settings)
        else:
            self._model = updated(self._model, {label: history.matured(label, yesterday) for label in Label}, catalog)
        self._arms = history.arms(yesterday)
        self._days += 1

    def decide(self, history: History, asked: Asked, truth: Worth) -> Chosen:
        """See Player."""
        del truth
        if self._model is None:
            raise RuntimeError("decide() was called before learn().")
        found = policy_probabilities(self._model, history.upcoming(asked), self.settings, self.seed * 100_003 + asked.day, self._arms)
        probabilities = np.zeros((len(asked.at), history.menus.arms.shape[1]))
        probabilities[history.menus.arms[asked.menu] >= 0] = found.p
        return draw(history.menus, asked, probabilities, "ours")


def silent(line: str) -> None:
    """Progress that nobody hears."""
    del line
