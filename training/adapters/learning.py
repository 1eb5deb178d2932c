"""The duties of whoever learns from the log: the posteriors of those who decide, and the members' recent features.

A process or a scheduled step calls them.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Protocol

from sqlalchemy import Engine

from training.adapters import posterior_files
from training.adapters.learner import Learned, Learner, sight
from training.adapters.recent import Recent
from training.config.settings import Settings
from training.domain.aliases import ANCHOR, CHALLENGER, CHAMPION, PREVIOUS
from training.domain.catalog import load_catalog
from training.domain.experiment import Experiment
from training.model.matching import MatchingModel

PUSHED = 512
"""Members whose rows are renewed at once, and rows of the log that are looked at for them."""


class Models(Protocol):
    """Where the models are, and which alias names which."""

    def fetch(self, version: str) -> Path:
        """Folder of that version."""

    def peek(self, alias: str) -> str | None:
        """Version behind `alias`."""


class Running(Protocol):
    """Where the experiment is."""

    def running(self) -> Experiment | None:
        """The one that runs."""


class Roles(NamedTuple):
    """Versions and what they are for; None where there is none.

    Champion and challenger learn. The anchor stands still at what it had learned when it was in charge last, for what is compared with it must not move; the
    version before the champion does too, as nobody gets it.
    """

    champion: str | None = None
    challenger: str | None = None
    anchor: str | None = None
    previous: str | None = None

    @classmethod
    def read(cls, models: Models, experiments: Running) -> Roles:
        """As registry and ledger have them now. Raises what either raises."""
        running = experiments.running()
        champion = models.peek(CHAMPION)
        return cls(champion, running.challenger if running and champion else None, models.peek(ANCHOR), models.peek(PREVIOUS))

    def learning(self) -> dict[str, str]:
        """Version -> role of those who learn, the champion first; a version that is both is the champion."""
        found: dict[str, str] = {}
        for version, role in self._named(CHAMPION, CHALLENGER):
            found.setdefault(version, role)
        return found

    def standing(self) -> list[str]:
        """Versions whose posterior readers must find as it was left."""
        learning = self.learning()
        return list(dict.fromkeys(version for version, _ in self._named(ANCHOR, PREVIOUS) if version not in learning))

    def _named(self, *roles: str) -> Iterator[tuple[str, str]]:
        for role in roles:
            if version := getattr(self, role):
                yield version, role


class Learning:
    """Holds a learner of each version that learns: what fails in one of them says nothing of the others."""

    def __init__(self, settings: Settings, engine: Engine, models: Models, recent: Recent) -> None:
        self._settings, self._engine, self._models = settings, engine, models
        self.recent = recent
        self.learners: dict[str, Learner] = {}
        self._standing: dict[str, int] = {}
        """The posteriors of those who stand still."""

    def take(self, roles: Roles) -> None:
        """From here on those learn who have such a role, and only they; snapshots of models that have none go, but for the last ones."""
        learning = roles.learning()
        self.learners = {version: learner for version, learner in self.learners.items() if version in learning}
        self._standing = {version: posterior for version, posterior in self._standing.items() if version in roles.standing()}
        posterior_files.forget(self._settings.posterior, [*learning, *roles.standing()])

    def learn(self, version: str, now: datetime) -> Learned:
        """One batch for `version`. Where it has no learner, at first and after an error, one is made that takes up what the log says.

        Raises what reading the model, `Learner` and its `learn` raise.
        """
        learner = self.learners.pop(version, None) or self._made(version)
        found = learner.learn(now)
        self.learners[version] = learner
        return found

    def stand(self, version: str) -> None:
        """Publish the posterior of `version` as the log says that it was left, where readers do not find it. Raises as `learn`."""
        known = self._standing.get(version)
        if known is None or not posterior_files.published(self._settings.posterior, version, known):
            self._standing[version] = self._made(version).posterior

    def refresh(self, *, ask: bool) -> tuple[int, bool]:
        """Renew some members' rows; returns how many were written, and whether there is more to do. `ask` looks for a new materialization too."""
        more = self.recent.look(PUSHED)
        if ask:
            self.recent.renew()
        return self.recent.push(PUSHED), more or self.recent.waiting > 0

    def _made(self, version: str) -> Learner:
        model = MatchingModel.load(self._models.fetch(version))
        see = sight(model, load_catalog(self._settings.catalog), self._engine)
        return Learner(version, see, self._engine, self._settings.posterior)
