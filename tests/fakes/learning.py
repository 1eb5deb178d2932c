"""A small trained model, and a decision log with what members did: what the learner's tests start from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tests.fakes.training_frame import training_frame
from training.adapters.decision_log import DecisionLog
from training.config.settings import Settings, TextChoice, TrainingSettings
from training.domain.assignment import Group
from training.domain.catalog import Catalog, load_catalog
from training.domain.nouns import NONE, Context, Outcome, OutcomeKind, Surface
from training.domain.schema import ARM_NUMERIC, MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.domain.served import Asked, Reason, Served
from training.model.matching import MatchingModel

AS_OF = datetime(2026, 3, 2, tzinfo=UTC)
"""What the model has seen was mature then."""
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@cache
def catalog() -> Catalog:
    """The simulated one."""
    return load_catalog(Settings().catalog)


@cache
def model() -> MatchingModel:
    """Trained for an epoch on 3,000 decisions, as of AS_OF."""
    import torch

    from training.model.fit import fit

    torch.set_num_threads(1)
    settings = TrainingSettings(width=16, epochs=1, batch=256, text_encoder=TextChoice.HASHED)
    made = fit(training_frame(catalog(), 3000), catalog(), settings, 7, str)
    return MatchingModel(made.members, made.arms, made.towers, made.heads, {**made.manifest, "as_of": AS_OF.isoformat()})


def arms_content(clicks: float = 20.0) -> dict[str, dict[str, float]]:
    """Features of every arm, as a snapshot keeps them."""
    return {arm: dict.fromkeys(ARM_NUMERIC, clicks) | {"impressions_28d": 1000.0} for arm in catalog().arms}


def served(number: int, at: datetime, **changes: Any) -> Served:
    """Decision `dN` of one of 50 members, of an arm that N picks, drawn among three; features differ from decision to decision."""
    arms = (NONE, *list(catalog().arms)[number % 40 :][:2])
    arm = changes.pop("arm", arms[number % 3])
    surface = catalog().channels[catalog().arms[arm].channel_id].surface if arm != NONE else Surface.WEB
    words = dict.fromkeys(MEMBER_CATEGORICAL, "x") | {"industry": ("tech", "retail", None)[number % 3]}
    given = {
        "asked": Asked(f"d{number}", f"r{number}", changes.pop("member", f"m{number % 50}"), at, Context(surface, at.hour, at.weekday())),
        "chosen_arm": arm,
        "channel_id": "" if arm == NONE else catalog().arms[arm].channel_id,
        "feasible": tuple(dict.fromkeys((*arms, arm))),
        "excluded": {},
        "reason": Reason.CHAMPION,
        "group": Group.CHAMPION.value,
        "model_version": "1",
        "posterior": 0,
        "arms_version": "a1",
        "feature_service": "matching_v1",
        "features": words | {name: float((number * (i + 3)) % 17) for i, name in enumerate(MEMBER_NUMERIC)},
        "features_at": at - 9 * HOUR,
        "u": 0.5,
        "expires_at": at + HOUR / 2,
        **changes,
    }
    return Served(p=np.full(len(given["feasible"]), 1 / len(given["feasible"])), **given)


def fill(log: DecisionLog, decisions: Sequence[Served]) -> None:
    """Put decisions in, with the arms' features that they name."""
    import json

    log.keep_arms("a1", json.dumps(arms_content()), AS_OF)
    with log.writing({each.asked.member_id for each in decisions}) as writing:
        writing.append(decisions)


def tell(log: DecisionLog, *outcomes: tuple[str, OutcomeKind, datetime]) -> None:
    """Put outcomes in: decision, kind, when; received at that moment."""
    for decision_id, kind, at in outcomes:
        (receipt,) = log.append_outcomes([Outcome(f"{decision_id}.{kind.value}.{at.isoformat()}", decision_id, kind, at)], at)
        assert receipt.answer.value == "accepted", receipt


def filled(folder: Path, count: int = 40, begin: datetime = AS_OF) -> DecisionLog:
    """A log of `count` decisions, half an hour apart, without outcomes."""
    log = DecisionLog(f"sqlite:///{folder / 'log.db'}")
    fill(log, [served(i, begin + i * HOUR / 2) for i in range(count)])
    return log
