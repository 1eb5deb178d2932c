"""The world as last seen: who decides for whom, posteriors, arms' features and paused arms, watched by threads and swapped whole.

A decision reads one World, so none mixes two models. What cannot be loaded leaves the last good one in charge and is said in `troubles`. The version that
was in charge before stays loaded, so that moving the alias back loads nothing. Who looks at aliases and ledger waits for nothing else: models are loaded in
threads of their own, and posteriors and arms followed in another.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Protocol

from serving.catalogs import NOTE
from serving.decide import Groups, World, policy_note
from serving.logs import say
from serving.menus import Menus
from serving.models import Arms, Models
from serving.pauses import Pauses
from training.adapters.decision_log import DecisionLog
from training.adapters.ports import FeatureStore, ModelRegistry
from training.config.serving import Clock
from training.config.settings import Settings
from training.domain.aliases import ANCHOR, CHALLENGER, CHAMPION, PREVIOUS
from training.domain.catalog import load_catalog
from training.domain.experiment import Experiment
from training.model.compiled import Compiled

POSTERIORS_EVERY, PAUSES_EVERY, ROLES_EVERY, ARMS_EVERY = 0.2, 0.25, 0.5, 5.0
"""Seconds between two looks. Each look takes Python's lock from whoever decides."""
EXPERIMENT = "experiment"
"""What is read of the ledger, in `troubles` beside these."""
START = 60.0
"""Most seconds that a worker waits for models before it serves."""
LEAVE = 5.0
"""Seconds that a thread has to end in, before it is left to the end of the process."""


class Running(Protocol):
    """Where the experiment is (`training.adapters.experiments`)."""

    def running(self) -> Experiment | None:
        """The one that runs."""


@dataclass(frozen=True)
class Outside:
    """What is watched."""

    registry: ModelRegistry
    experiments: Running
    features: FeatureStore
    log: DecisionLog
    clock: Callable[[], datetime]
    tell: Callable[[World], None]
    """Hears of the world whenever it is shown anew."""


@dataclass
class Role:
    """The version that is named for a role, and the last one that could be loaded for it."""

    named: str | None = None
    good: str | None = None


class Watch:
    """`world` is read by the decider; `look` is what the watching threads do, and is called once before anything is served."""

    def __init__(self, outside: Outside, settings: Settings) -> None:
        self._outside, self._settings = outside, settings
        catalog = load_catalog(settings.catalog)
        self._arms = Arms(outside.features, outside.log, catalog, outside.clock)
        self._models = Models(outside.registry, settings, catalog, self._arms, self._again)
        self._roles = {role: Role() for role in (CHAMPION, CHALLENGER, ANCHOR, PREVIOUS)}
        self._read: Experiment | None = None
        self.running: Experiment | None = None
        """The experiment whose groups decide: as it was read last, once its challenger has been loaded or cannot be."""
        self.unnamed = False
        """Whether no alias names the champion (any more)."""
        self._next: dict[str, float] = {}
        self.troubles: dict[str, str] = {}
        notes = {"policy": policy_note(settings), NOTE: self._arms.catalog.version}
        self._world = World(Menus(catalog, settings.serving.caps), None, None, settings.serving, notes)
        self._pauses = Pauses(outside.log)
        self._showing = threading.Lock()
        self._stopped, self._woken = threading.Event(), threading.Event()
        looks = ((self._look_at_pauses, PAUSES_EVERY), (self._look_at_models, POSTERIORS_EVERY))
        self._threads = [threading.Thread(target=self._run, args=look, name="watch", daemon=True) for look in looks]
        self._threads.append(threading.Thread(target=self._run_roles, name="watch", daemon=True))

    def start(self) -> None:
        """Look once, then go on looking."""
        self.look()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads."""
        self._stopped.set()
        self._woken.set()
        for thread in self._threads:
            thread.join(LEAVE)

    @property
    def world(self) -> World:
        """As last seen."""
        paused = self._pauses.known
        return self._world if self._world.paused == paused else replace(self._world, paused=paused)

    @property
    def champion(self) -> Compiled | None:
        """What is in charge."""
        return self.loaded(self._roles[CHAMPION].good)

    @property
    def newest(self) -> datetime | None:
        """Event time of the newest arms' features."""
        return self._arms.newest

    def loaded(self, version: str | None) -> Compiled | None:
        """That version as it decides now, if it does."""
        return self._models.get(version)

    def look(self) -> None:
        """Look at everything whose time has come, and wait until what is named is loaded or cannot be, or START is over: then the safe default answers until
        it is. Pauses come last: they are known for a moment only.
        """
        self._look_at_roles()
        self._models.wait(START)
        self._look_at_roles()
        self._look_at_models()
        self._look_at_pauses()

    def _look_at_pauses(self) -> None:
        """In a thread of its own: neither a model that is being loaded nor a store that hangs delays the kill switch."""
        self._look("pauses", PAUSES_EVERY, self._pauses.look)

    def _look_at_roles(self) -> None:
        """In a thread of its own: a roll-back waits neither for another model nor for a store."""
        for name, what in (
            (CHAMPION, lambda: self._alias(CHAMPION)),
            (EXPERIMENT, self._experiment),
            (CHALLENGER, self._challenger),
            (ANCHOR, lambda: self._alias(ANCHOR)),
            (PREVIOUS, lambda: self._alias(PREVIOUS)),
        ):
            self._look(name, ROLES_EVERY, what)
            self._show()

    def _look_at_models(self) -> None:
        for name, every, what in (("arms", ARMS_EVERY, self._renew_arms), ("posterior", POSTERIORS_EVERY, self._models.follow)):
            self._look(name, every, what)
            self._show()

    def _again(self) -> None:
        """A model was loaded, or could not be: whoever it is for is looked at next."""
        self._next |= dict.fromkeys((*self._roles, EXPERIMENT), 0.0)
        self._woken.set()

    def _look(self, name: str, every: float, what: Callable[[], None]) -> None:
        now = monotonic()
        if now < self._next.get(name, 0.0):
            return
        self._next[name] = now + every
        try:
            what()
            self.troubles.pop(name, None)
        except Exception as error:  # noqa: BLE001 - whatever cannot be read, the last good world goes on (or fails closed: pauses)
            self._trouble(name, error)

    def _run(self, look: Callable[[], None], every: float) -> None:
        while not self._stopped.wait(every):
            look()

    def _run_roles(self) -> None:
        """At once where a model was loaded."""
        while not self._stopped.is_set():
            self._woken.wait(ROLES_EVERY)
            self._woken.clear()
            if not self._stopped.is_set():
                self._look_at_roles()

    def _trouble(self, name: str, error: Exception) -> None:
        words = f"{type(error).__name__}: {error}"
        if self.troubles.get(name) != words:
            say("trouble", part=name, error=words)
        self.troubles[name] = words

    def _alias(self, role: str) -> None:
        version = self._outside.registry.peek(role)
        if role == CHAMPION:
            self.unnamed = version is None
        if version is not None or role != CHAMPION:  # an alias that is gone puts nobody else in charge
            self._name(role, version)

    def _experiment(self) -> None:
        self._read = self._outside.experiments.running()

    def _challenger(self) -> None:
        read, known = self._read, True
        try:
            known = self._name(CHALLENGER, read.challenger if read else None)
        finally:
            if known:
                self.running = read

    def _name(self, role: str, version: str | None) -> bool:
        """From here on `version` has that role; whether it is loaded. Raises NotReadyError where it cannot be: until it is, the one before goes on."""
        entry = self._roles[role]
        entry.named = version
        self._models.keep({v for r in self._roles.values() for v in (r.named, r.good) if v is not None})
        if version is not None and not self._models.want(version):
            return False
        if entry.good != version:
            entry.good = version
            say(role, version=version or "")
        return True

    def _renew_arms(self) -> None:
        if self.champion is not None or self._settings.serving.clock is Clock.DATA:  # without a champion for their instant
            self._arms.look()
            self._models.renew()

    def _show(self) -> None:
        """Swap the world whole, where anything of it is another."""
        with self._showing:
            champion, groups = self.champion, self._groups()
            if (champion, groups) != (self._world.champion, self._world.groups):
                self._world = replace(self._world, champion=champion, groups=groups)
                self._outside.tell(self._world)

    def _groups(self) -> Groups:
        """The challenger is the experiment's or nobody; without an anchor the champion decides for the holdback."""
        running, anchor = self.running, self._roles[ANCHOR]
        return Groups(
            self._settings.experiment.split(running),
            self.loaded(running.challenger) if running else None,
            self.champion if anchor.named is None else self.loaded(anchor.good),
        )
