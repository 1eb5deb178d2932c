"""The models that a worker keeps ready, whatever each is for: with the arms' features of now, under the posterior that was published last for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from time import monotonic

from training.adapters import posterior_files
from training.adapters.decision_log import DecisionLog
from training.adapters.ports import FeatureStore, ModelRegistry
from training.config.settings import Settings
from training.domain.catalog import Catalog
from training.domain.errors import DataError, NotReadyError
from training.model.compiled import Compiled
from training.model.matching import MatchingModel

AGAIN = 30.0
"""Seconds until a version that could not be loaded is tried again: reading a model costs a worker its time."""


class Arms:
    """The arms' features as they were online last, which the log keeps under their digest; nothing is read before `look`."""

    def __init__(self, features: FeatureStore, log: DecisionLog, catalog: Catalog, clock: Callable[[], datetime]) -> None:
        self._features, self._log, self._ids, self._clock = features, log, list(catalog.arms), clock
        self.known: dict[str, dict[str, object]] = {}
        self.version = ""
        """Empty before the first look."""
        self.newest: datetime | None = None
        """Event time of the newest ones."""

    def look(self) -> None:
        """Read them. Raises what store and log raise: then those of before go on."""
        found = dict(zip(self._ids, self._features.online_arms(self._ids), strict=True))
        stamps = [at for row in found.values() if isinstance(at := row.pop("event_timestamp", None), datetime)]
        self.newest = max(stamps, default=self.newest)
        content = json.dumps(found, sort_keys=True)
        version = sha256(content.encode()).hexdigest()[:16]
        if version != self.version:
            self._log.keep_arms(version, content, self._clock())
            self.known, self.version = found, version


class Models:
    """Compiled models by version, each loaded once. For one thread at a time."""

    def __init__(self, registry: ModelRegistry, settings: Settings, catalog: Catalog, arms: Arms) -> None:
        self._registry, self._settings, self._catalog, self._arms = registry, settings, catalog, arms
        self._loaded: dict[str, Compiled] = {}
        self._failed: dict[str, tuple[str, float]] = {}
        self._last = ""
        """Whose posterior was renewed last."""

    def get(self, version: str | None) -> Compiled | None:
        """The model, if it is loaded."""
        return self._loaded.get(version) if version is not None else None

    def load(self, version: str) -> None:
        """Have it ready. Raises NotReadyError where it cannot be loaded, and for a while the same again without trying."""
        if version in self._loaded:
            return
        why, again = self._failed.get(version, ("", 0.0))
        if monotonic() < again:
            raise NotReadyError(why)
        try:
            if not self._arms.version:
                self._arms.look()
            model = MatchingModel.load(self._registry.fetch(version))
            compiled = Compiled.build(model, self._catalog, self._settings, version).with_arms(self._arms.known, self._arms.version)
        except Exception as error:
            self._failed[version] = (f"{version}: {error}", monotonic() + AGAIN)
            raise NotReadyError(self._failed[version][0]) from error
        with suppress(DataError, NotReadyError, OSError):  # `follow` says what is wrong with it
            compiled = self._newest(compiled)
        self._failed.pop(version, None)
        self._loaded[version] = compiled

    def keep(self, versions: Collection[str]) -> None:
        """Forget all others, and what failed of them."""
        self._loaded = {version: each for version, each in self._loaded.items() if version in versions}
        self._failed = {version: each for version, each in self._failed.items() if version in versions}

    def renew(self) -> None:
        """Bring all to the arms' features as they were read last."""
        for version, each in self._loaded.items():
            if each.arms_version != self._arms.version:
                self._loaded[version] = each.with_arms(self._arms.known, self._arms.version)

    def follow(self) -> None:
        """Bring one of those whose posterior has moved to the newest, the next one in turn: drawing weights takes long enough that aliases are looked at before
        the next. Where it cannot be read, the one at hand goes on, and the first error is raised when all others have had their turn.
        """
        failed: list[Exception] = []
        versions = list(self._loaded)
        turn = versions.index(self._last) + 1 if self._last in versions else 0
        for version in versions[turn:] + versions[:turn]:
            try:
                newest = self._newest(self._loaded[version])
            except Exception as error:  # noqa: BLE001 - one version's file says nothing of another's
                failed.append(error)
                continue
            if newest is not self._loaded[version]:
                self._loaded[version], self._last = newest, version
                break
        if failed:
            raise failed[0]

    def _newest(self, compiled: Compiled) -> Compiled:
        folder, version = self._settings.posterior, compiled.version
        posterior = posterior_files.current(folder, version)
        if posterior is None or posterior == compiled.posterior:
            return compiled
        return compiled.with_heads(posterior_files.read(folder, version, posterior), posterior)
