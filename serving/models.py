"""The models that a worker keeps ready, whatever each is for: with the arms' features of now, under the posterior that was published last for it."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import datetime
from hashlib import sha256
from time import monotonic

from serving.catalogs import kept
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
LATE = 10.0
"""Seconds after which a version that is still being read counts as one that cannot be loaded, until it is there."""


class Arms:
    """The arms' features as they were online last, which the log keeps under their digest; nothing is read before `look`."""

    def __init__(self, features: FeatureStore, log: DecisionLog, catalog: Catalog, clock: Callable[[], datetime]) -> None:
        self._features, self._log, self._ids, self._clock = features, log, list(catalog.arms), clock
        self.catalog = kept(catalog)
        """Kept in the log with the first arms."""
        self._lock = threading.Lock()
        self.known: dict[str, dict[str, object]] = {}
        self.version = ""
        """Empty before the first look."""
        self.newest: datetime | None = None
        """Event time of the newest ones."""

    def first(self) -> None:
        """Read them if nobody has. Raises what `look` raises."""
        with self._lock:
            if not self.version:
                self.look()

    def look(self) -> None:
        """Read them. Raises what store and log raise: then those of before go on."""
        found = dict(zip(self._ids, self._features.online_arms(self._ids), strict=True))
        stamps = [at for row in found.values() if isinstance(at := row.pop("event_timestamp", None), datetime)]
        self.newest = max(stamps, default=self.newest)
        content = json.dumps(found, sort_keys=True)
        version = sha256(content.encode()).hexdigest()[:16]
        if version != self.version:
            for each in ((version, content), self.catalog):
                self._log.keep_arms(*each, self._clock())
            self.known, self.version = found, version


class Models:
    """Compiled models by version. Each is loaded once, in a thread of its own, so that one that is read slowly delays no other and nobody who looks.

    `done` is called after each load, in its thread. All but `renew` and `follow`, which are for one thread, may be called by any.
    """

    def __init__(self, registry: ModelRegistry, settings: Settings, catalog: Catalog, arms: Arms, done: Callable[[], None] = lambda: None) -> None:
        self._registry, self._settings, self._catalog, self._arms, self._done = registry, settings, catalog, arms, done
        self._lock = threading.Lock()
        self._loaded: dict[str, Compiled] = {}
        """Never changed, but replaced whole."""
        self._loading: dict[str, tuple[threading.Thread, float]] = {}
        self._failed: dict[str, tuple[str, float]] = {}
        self._kept: Collection[str] | None = None
        self._last = ""
        """Whose posterior was renewed last."""

    def get(self, version: str | None) -> Compiled | None:
        """The model, if it is loaded."""
        return self._loaded.get(version) if version is not None else None

    def want(self, version: str) -> bool:
        """Whether it is loaded; if not, that begins now. Raises NotReadyError where it could not be, also while that is tried again, or takes long."""
        now = monotonic()
        with self._lock:
            if version in self._loaded:
                return True
            why, again = self._failed.get(version, ("", 0.0))
            if version not in self._loading and now >= again:
                thread = threading.Thread(target=self._load, args=(version,), name=f"load {version}", daemon=True)
                thread.start()  # it waits for the lock
                self._loading[version] = thread, now
            if not why and now - self._loading[version][1] > LATE:
                why = f"{version}: reading it takes more than {LATE:.0f} s"
        if why:
            raise NotReadyError(why)
        return False

    def wait(self, seconds: float) -> None:
        """Until nothing is being loaded, or they are over."""
        until = monotonic() + seconds
        with self._lock:
            threads = [thread for thread, _ in self._loading.values()]
        for thread in threads:
            thread.join(max(0.0, until - monotonic()))

    def keep(self, versions: Collection[str]) -> None:
        """Forget all others, and what failed of them."""
        with self._lock:
            self._kept = versions
            self._loaded = {version: each for version, each in self._loaded.items() if version in versions}
            self._failed = {version: each for version, each in self._failed.items() if version in versions}

    def renew(self) -> None:
        """Bring all to the arms' features as they were read last."""
        for version, each in self._loaded.items():
            if each.arms_version != self._arms.version:
                self._swap(version, each, each.with_arms(self._arms.known, self._arms.version))

    def follow(self) -> None:
        """Bring one of those whose posterior has moved to the newest, the next one in turn: drawing weights takes a worker's time. Where it cannot be read,
        the one at hand goes on, and the first error is raised when all others have had their turn.
        """
        failed: list[Exception] = []
        loaded = self._loaded
        versions = list(loaded)
        turn = versions.index(self._last) + 1 if self._last in versions else 0
        for version in versions[turn:] + versions[:turn]:
            try:
                newest = self._newest(loaded[version])
            except Exception as error:  # noqa: BLE001 - one version's file says nothing of another's
                failed.append(error)
                continue
            if newest is not loaded[version]:
                self._swap(version, loaded[version], newest)
                self._last = version
                break
        if failed:
            raise failed[0]

    def _load(self, version: str) -> None:
        try:
            compiled, failed = self._read(version), None
        except Exception as error:  # noqa: BLE001 - `want` says it
            compiled, failed = None, (f"{version}: {error}", monotonic() + AGAIN)
        with self._lock:
            self._failed.pop(version, None)
            if self._kept is None or version in self._kept:
                if failed is not None:
                    self._failed[version] = failed
                elif compiled is not None:
                    self._loaded = {**self._loaded, version: compiled}
        self._done()
        with self._lock:
            del self._loading[version]

    def _read(self, version: str) -> Compiled:
        self._arms.first()
        model = MatchingModel.load(self._registry.fetch(version))
        compiled = Compiled.build(model, self._catalog, self._settings, version).with_arms(self._arms.known, self._arms.version)
        with suppress(DataError, NotReadyError, OSError):  # `follow` says what is wrong with it
            compiled = self._newest(compiled)
        return compiled

    def _swap(self, version: str, before: Compiled, after: Compiled) -> None:
        with self._lock:
            if self._loaded.get(version) is before:
                self._loaded = {**self._loaded, version: after}

    def _newest(self, compiled: Compiled) -> Compiled:
        folder, version = self._settings.posterior, compiled.version
        posterior = posterior_files.current(folder, version)
        if posterior is None or posterior == compiled.posterior:
            return compiled
        return compiled.with_heads(posterior_files.read(folder, version, posterior), posterior)
