"""The world as last seen: champion, posterior, arms' features and paused arms, watched by threads and swapped whole.

A decision reads one World, so none mixes two models. What cannot be loaded leaves the last good one in charge and is said in `troubles`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from time import monotonic

from serving.decide import World, policy_note
from serving.logs import say
from serving.menus import Menus
from serving.pauses import Pauses
from training.adapters import posterior_files
from training.adapters.decision_log import DecisionLog
from training.adapters.ports import FeatureStore, ModelRegistry
from training.config.serving import Clock
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.errors import NotReadyError
from training.model.compiled import Compiled
from training.model.matching import MatchingModel

EVERY = 0.1
"""Seconds between two looks."""
PAUSES_EVERY, CHAMPION_EVERY, ARMS_EVERY = 0.25, 0.5, 5.0


@dataclass(frozen=True)
class Outside:
    """What is watched."""

    registry: ModelRegistry
    features: FeatureStore
    log: DecisionLog
    clock: Callable[[], datetime]
    tell: Callable[[str, int], None]
    """Hears champion and posterior whenever the world is shown anew."""


@dataclass
class Kept:
    """The last good model behind an alias, and what failed since: "VERSION: why"."""

    alias: str
    compiled: Compiled | None = None
    failed: str = ""


class Watch:
    """`world` is read by the decider; `look` is what the watching threads do, and is called once before anything is served."""

    def __init__(self, outside: Outside, settings: Settings) -> None:
        self._outside, self._settings = outside, settings
        self._catalog = load_catalog(settings.catalog)
        self._champion, self._canary = Kept("champion"), Kept("challenger")
        self._pointer: object = None
        self._next: dict[str, float] = {}
        self.troubles: dict[str, str] = {}
        self.newest: datetime | None = None
        """Event time of the newest arms' features."""
        self._world = World(Menus(self._catalog, settings.serving.caps), None, None, None, settings.serving, {"policy": policy_note(settings)})
        self._pauses = Pauses(outside.log)
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(look,), name="watch", daemon=True) for look in (self._look_at_pauses, self._look_around)]

    def start(self) -> None:
        """Look once, then go on looking."""
        self.look()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End the threads."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    @property
    def world(self) -> World:
        """As last seen."""
        paused = self._pauses.known
        return self._world if self._world.paused == paused else replace(self._world, paused=paused)

    @property
    def champion(self) -> Compiled | None:
        """What is in charge."""
        return self._champion.compiled

    def look(self) -> None:
        """Look at everything whose time has come."""
        self._look_at_pauses()
        self._look_around()

    def _look_at_pauses(self) -> None:
        """In a thread of its own: neither a model that is being loaded nor a store that hangs delays the kill switch."""
        self._look(("pauses", PAUSES_EVERY, self._pauses.look))

    def _look_around(self) -> None:
        self._look(
            ("champion", CHAMPION_EVERY, lambda: self._renew(self._champion)),
            ("canary", CHAMPION_EVERY, self._share),
            ("arms", ARMS_EVERY, self._arms),
            ("posterior", EVERY, self._posterior),
        )

    def _look(self, *parts: tuple[str, float, Callable[[], None]]) -> None:
        for name, every, what in parts:
            now = monotonic()
            if now < self._next.get(name, 0.0):
                continue
            self._next[name] = now + every
            try:
                what()
                self.troubles.pop(name, None)
            except Exception as error:  # noqa: BLE001 - whatever cannot be read, the last good world goes on (or fails closed: pauses)
                self._trouble(name, error)

    def _run(self, look: Callable[[], None]) -> None:
        while not self._stopped.wait(EVERY):
            look()

    def _trouble(self, name: str, error: Exception) -> None:
        words = f"{type(error).__name__}: {error}"
        if self.troubles.get(name) != words:
            say("trouble", part=name, error=words)
        self.troubles[name] = words

    def _share(self) -> None:
        """The challenger decides for a share of members only where the settings give it one, and while it is another model than the champion."""
        if self._settings.serving.canary_share > 0:
            self._renew(self._canary)

    def _renew(self, kept: Kept) -> None:
        """Load the version behind the alias where it is another one. One that failed is not loaded again, and what failed is said until the alias moves."""
        version = self._outside.registry.peek(kept.alias)
        if version is None or (kept.compiled is not None and version == kept.compiled.version):
            kept.failed = ""
            return
        if kept.failed.startswith(f"{version}: "):
            raise NotReadyError(kept.failed)
        try:
            model = MatchingModel.load(self._outside.registry.fetch(version))
            kept.compiled = self._with_arms(Compiled.build(model, self._catalog, self._settings, version))
        except Exception as error:
            kept.failed = f"{version}: {error}"
            raise NotReadyError(kept.failed) from error
        kept.failed, self._pointer = "", None
        self._show()
        say(kept.alias, version=version)

    def _arms(self) -> None:
        for kept in (self._champion, self._canary):
            if kept.compiled is not None:
                kept.compiled = self._with_arms(kept.compiled)
        if self.champion is None and self._settings.serving.clock is Clock.DATA:
            self._online()  # for its instant
        self._show()

    def _with_arms(self, compiled: Compiled) -> Compiled:
        """With the arms' features as they are online now, which are kept in the log under their digest."""
        found = self._online()
        content = json.dumps(found, sort_keys=True)
        version = sha256(content.encode()).hexdigest()[:16]
        if version == compiled.arms_version:
            return compiled
        self._outside.log.keep_arms(version, content, self._outside.clock())
        return compiled.with_arms(found, version)

    def _online(self) -> dict[str, dict[str, object]]:
        ids = list(self._catalog.arms)
        found = dict(zip(ids, self._outside.features.online_arms(ids), strict=True))
        stamps = [at for row in found.values() if isinstance(at := row.pop("event_timestamp", None), datetime)]
        self.newest = max(stamps, default=self.newest)
        return found

    def _posterior(self) -> None:
        champion = self._champion.compiled
        pointer = posterior_files.current(self._settings.posterior)
        if champion is None or pointer is None or pointer == self._pointer:
            return
        if pointer.model_version == champion.version and pointer.posterior != champion.posterior:
            heads = posterior_files.read(self._settings.posterior, pointer.model_version, pointer.posterior)
            self._champion.compiled = champion.with_heads(heads, pointer.posterior)
            self._show()
        self._pointer = pointer

    def _show(self) -> None:
        """Swap the world whole."""
        champion, canary = self._champion.compiled, self._canary.compiled
        same = champion is not None and canary is not None and champion.version == canary.version
        self._world = replace(self._world, champion=champion, canary=None if same else canary, paused=self._pauses.known)
        self._outside.tell(champion.version if champion else "", champion.posterior if champion else 0)
