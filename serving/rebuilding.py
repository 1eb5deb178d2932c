"""Models of earlier decisions, for funnels: one thread rebuilds them, so that a crowd of readers takes no thread from whoever decides."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from serving import catalogs
from serving.champion import Watch
from serving.explain import rebuilt
from serving.patience import Reads
from training.adapters.decision_log import DecisionLog
from training.adapters.ports import ModelRegistry
from training.config.settings import Settings
from training.domain.served import Served
from training.model.compiled import Compiled, Moments

WAITING = 32
"""Most funnels that wait for the thread: a rebuild may take a second."""
KEPT = 4
"""Models that are kept as they were rebuilt, those asked for last."""

Key = tuple[str, int, str, str, str]
"""What a model is rebuilt from."""


class Explained(NamedTuple):
    """What the model of a decision thought of its feasible arms, in their order, and the window that it learned from."""

    moments: Moments
    window: Mapping[str, str]


class Rebuilding:
    """`explain` from the event loop. Models are for one thread at a time: all are used in the one that rebuilds them."""

    def __init__(self, log: DecisionLog, registry: ModelRegistry, settings: Settings, watch: Watch) -> None:
        self._log, self._registry, self._settings, self._watch = log, registry, settings, watch
        self._reads = Reads("rebuilding", settings.serving.log_budget_ms / 1e3, threads=1, waiting=WAITING)
        self._kept: OrderedDict[Key, Compiled] = OrderedDict()

    def __len__(self) -> int:
        return len(self._reads)

    def stop(self) -> None:
        """Rebuild nothing more."""
        self._reads.stop()

    async def explain(self, served: Served) -> Explained:
        """By the model that took `served`. Raises as `Reads.ask`, and as `explain.rebuilt`."""
        return await self._reads.ask(self._explained, served)

    def _explained(self, served: Served) -> Explained:
        model = self._model(served)
        moments = model.moments(served.features, served.asked.context, [model.arm_ids.index(arm) for arm in served.feasible])
        return Explained(moments, {name: str(value) for name, value in model.model.manifest.get("window", {}).items()})

    def _model(self, served: Served) -> Compiled:
        key = _key(served)
        model = self._kept.pop(key, None) or self._deciding(served) or rebuilt(served, self._log, self._registry, self._settings)
        self._kept[key] = model
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return model

    def _deciding(self, served: Served) -> Compiled | None:
        """The one that decides where it is still the same, with scratch space of its own since that one is deciding."""
        now, notes = self._watch.loaded(served.model_version), self._watch.world.notes
        same = served.notes.items() >= notes.items()  # policy and catalog
        if now is None or not same or (now.version, now.posterior, now.arms_version) != (served.model_version, served.posterior, served.arms_version):
            return None
        return now.with_heads({}, now.posterior)


def _key(served: Served) -> Key:
    """A decision from before catalogs were kept has a key of its own: it is looked at whether today's has its arms."""
    catalog = served.notes.get(catalogs.NOTE) or served.asked.decision_id
    return served.model_version, served.posterior, served.arms_version, served.notes["policy"], catalog
