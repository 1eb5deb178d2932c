"""A kept decision taken again: the model of its group as it was, rebuilt from weights, arms' features and the answers learned until then."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from serving.decide import even
from training.adapters.decision_log import DecisionLog
from training.adapters.kept_catalogs import kept_catalog
from training.adapters.learner import rebuild, sight
from training.adapters.ports import ModelRegistry
from training.config.settings import ExplorationSettings, Settings, UtilitySettings
from training.domain.catalog import Catalog, load_catalog
from training.domain.errors import DataError, NotReadyError
from training.domain.served import NOTED_CATALOG, Served
from training.model.compiled import Compiled, pick
from training.model.matching import MatchingModel


@dataclass(frozen=True)
class Replay:
    """What taking a decision again gave. `largest` is the largest difference of a probability; equal to the bit is 0 exactly."""

    equal: bool
    chosen_arm: str
    largest: float


def model_of(served: Served, log: DecisionLog, registry: ModelRegistry, settings: Settings) -> Compiled | None:
    """The model that took `served`; None where every feasible arm could win alike, as the one arm of a fallback did. Raises as `rebuilt`."""
    return rebuilt(served, log, registry, settings) if served.model_version else None


def rebuilt(served: Served, log: DecisionLog, registry: ModelRegistry, settings: Settings) -> Compiled:
    """The model of a decision that has one. Raises NotReadyError where the model is gone, DataError where it cannot be rebuilt."""
    policy = json.loads(served.notes["policy"])
    then = settings.model_copy(
        update={"exploration": ExplorationSettings(**policy["exploration"]), "utility": UtilitySettings(**policy["utility"])},
    )
    catalog = _catalog(served, log, settings)
    model = MatchingModel.load(registry.fetch(served.model_version))
    compiled = Compiled.build(model, catalog, then, served.model_version).with_arms(_arms(served, log), served.arms_version)
    if served.posterior:
        see = sight(model, catalog, log.engine)
        compiled = compiled.with_heads(rebuild(see, log.engine, settings.posterior, served.model_version, served.posterior), served.posterior)
    return compiled


def _catalog(served: Served, log: DecisionLog, settings: Settings) -> Catalog:
    """That of then; of decisions that do not note it, which are from before it was kept, today's."""
    then = kept_catalog(log.engine, served.notes[NOTED_CATALOG]) if NOTED_CATALOG in served.notes else None
    if then is not None:
        return then
    catalog = load_catalog(settings.catalog)
    missing = [arm for arm in served.feasible[1:] if arm not in catalog.arms]
    if missing:
        raise NotReadyError(
            f"The catalog no longer has {missing[0]!r}, which decision {served.asked.decision_id} could show. "
            "Point RIGHTMATCH_CATALOG at the catalog of that time."
        )
    return catalog


def _arms(served: Served, log: DecisionLog) -> dict[str, dict[str, object]]:
    content = log.arms(served.arms_version)
    if content is None:
        raise DataError(f"The log has no features of the arms under {served.arms_version!r}, so decision {served.asked.decision_id} cannot be taken again.")
    found: dict[str, dict[str, object]] = json.loads(content)
    return found


def again(served: Served, compiled: Compiled | None) -> Replay:
    """Take `served` again with its model, see `model_of`."""
    if compiled is None:
        p = even(len(served.feasible))
    else:
        p = compiled.score(served.features, served.asked.context, [compiled.arm_ids.index(arm) for arm in served.feasible]).p
    chosen = served.feasible[pick(p, served.u)]
    same = bool(np.array_equal(p, served.p)) and chosen == served.chosen_arm
    return Replay(same, chosen, float(np.abs(p - served.p).max()))
