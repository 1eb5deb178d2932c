"""Ours with forgetting: candidates of half-lives learn side by side, and the one that later answers surprised least decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import pandas as pd

from bench.world.history import History
from bench.world.ours import Ours
from training.domain.catalog import Catalog, load_catalog
from training.domain.nouns import Label
from training.model.fit import fit
from training.model.forget import HALF_LIVES, Scores, faded, recent, surprise
from training.model.matching import MatchingModel
from training.model.select import JUDGED
from training.model.update import updated
from training.model.width import with_width

SCORED = (Label.CLICKED, *JUDGED)
"""Clicks are known after a day: they tell of a change first."""


@dataclass
class Forgetful(Ours):
    """`chosen` is the half-life of each retrain. Only its model gets a width of exploration, found on what it was fitted on; scores do not depend on it."""

    chosen: list[float | None] = field(default_factory=list)
    _candidates: tuple[MatchingModel, ...] = ()
    _scores: Scores = field(default_factory=Scores)

    def learn(self, history: History, yesterday: date) -> None:
        """See Player."""
        catalog = load_catalog(self.settings.catalog)
        if self._days % self.every == 0:
            if not self._candidates:  # replay the last weeks of the log, so that the first choice too has evidence
                before = yesterday - timedelta(days=self.every)
                self._candidates = self._fitted(history.training(before), before, catalog)
            answers = self._since(history, yesterday)
            self._scores = self._scores.after([surprise(m, answers, catalog) for m in self._candidates])
            frame = history.training(yesterday)
            self._candidates = self._fitted(frame, yesterday, catalog)
            self.chosen.append(self._scores.best)
            left = recent(frame, self.chosen[-1], _end(yesterday))
            self._model = with_width(self._candidates[HALF_LIVES.index(self.chosen[-1])], left, left, catalog, self.settings)
        elif self._model is not None:
            fresh = {label: history.matured(label, yesterday) for label in Label}
            self._model = updated(faded(self._model, self.chosen[-1], 1.0), fresh, catalog)
        self._arms = history.arms(yesterday)
        self._days += 1

    def _fitted(self, frame: pd.DataFrame, day: date, catalog: Catalog) -> tuple[MatchingModel, ...]:
        return tuple(fit(recent(frame, h, _end(day)), catalog, self.settings.training, self.seed, self.progress) for h in HALF_LIVES)

    def _since(self, history: History, yesterday: date) -> Mapping[Label, pd.DataFrame]:
        """The answers that matured since the last retrain."""
        days = [yesterday - timedelta(days=k) for k in range(self.every)]
        found = {label: [history.matured(label, day) for day in reversed(days)] for label in SCORED}
        return {label: pd.concat(frames, ignore_index=True) for label, frames in found.items()}


def _end(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)
