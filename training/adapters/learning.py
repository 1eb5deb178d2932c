"""The two duties of whoever learns from the log: the champion's posterior, and the members' recent features. A process or a scheduled step calls them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Protocol

from sqlalchemy import Engine

from training.adapters.learner import Learned, Learner, sight
from training.adapters.recent import Recent
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.model.matching import MatchingModel

PUSHED = 512
"""Members whose rows are renewed at once, and rows of the log that are looked at for them."""


class Models(Protocol):
    """Where the champion is."""

    def fetch(self, version: str) -> Path:
        """Folder of that version."""


class Learning:
    """Holds a learner of the champion and takes another one when another champion is in charge."""

    def __init__(self, settings: Settings, engine: Engine, models: Models, recent: Recent) -> None:
        self._settings, self._engine, self._models = settings, engine, models
        self.recent = recent
        self.learner: Learner | None = None

    def champion(self, version: str | None) -> bool:
        """Learn for `version` from here on; returns whether that is another one than before. None: nobody is in charge, and nothing is learned.

        Raises what reading the model and `Learner` raise: then nothing is learned until it is called again.
        """
        if version == (self.learner.version if self.learner else None):
            return False
        self.learner = None
        if version is not None:
            model = MatchingModel.load(self._models.fetch(version))
            see = sight(model, load_catalog(self._settings.catalog), self._engine)
            self.learner = Learner(version, see, self._engine, self._settings.posterior)
        return True

    def learn(self, now: datetime) -> Learned | None:
        """One batch. After an error the learner is gone, so that the next `champion` takes up what the log says."""
        learner, self.learner = self.learner, None
        found = learner.learn(now) if learner else None
        self.learner = learner
        return found

    def refresh(self, *, ask: bool) -> tuple[int, bool]:
        """Renew some members' rows; returns how many were written, and whether there is more to do. `ask` looks for a new materialization too."""
        more = self.recent.look(PUSHED)
        if ask:
            self.recent.renew()
        return self.recent.push(PUSHED), more or self.recent.waiting > 0
