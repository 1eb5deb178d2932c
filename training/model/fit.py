"""From a training set to a model: encoders, the network (`optimise`), then one Laplace posterior a label (`heads`) on its frozen phi."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from training.config.settings import TrainingSettings
from training.domain.catalog import Catalog
from training.domain.errors import NotReadyError
from training.domain.nouns import NONE, Label
from training.model import text
from training.model.arms import ArmBook, ArmEncoder
from training.model.encode import MemberEncoder
from training.model.heads import FEWEST, posteriors
from training.model.matching import MatchingModel, check_columns
from training.model.newcomers import with_newcomers
from training.model.optimise import Progress
from training.model.parallel import train_together
from training.model.rows import Rows, pack
from training.model.split import dealt, is_holdout
from training.model.stacked import Stacked
from training.model.towers import Sizes
from training.model.wide import FOLDS, Wide

KEPT_BACK, KEPT_BACK_SALT = 0.15, b"rightmatch/kept-back/v1"
"""Share of the training members who only say when to stop; the posteriors learn from them too."""
FOLDS_SALT = b"rightmatch/folds/v1"


@dataclass(frozen=True)
class Prepared:
    """A training set as tensors, with the encoders that made them and the sizes of the network for them."""

    members: MemberEncoder
    arms: ArmEncoder
    rows: Rows
    sizes: Sizes
    unprompted_value: float
    folds: torch.Tensor
    """Which members' rows are scored together without having been learned from, int64 [n]."""


def fit(frame: pd.DataFrame, catalog: Catalog, settings: TrainingSettings, seed: int, progress: Progress) -> MatchingModel:
    """Train on every row of `frame` (the caller has removed the held-out members); the same inputs give the same weights.

    Raises DataError for a missing column and NotReadyError if no label has FEWEST mature rows of both classes.
    """
    return learn(prepare(frame, catalog, settings), settings, seed, progress)


def prepare(frame: pd.DataFrame, catalog: Catalog, settings: TrainingSettings) -> Prepared:
    """Fit the encoders and encode; what follows needs `frame` no more. Raises as `fit` does."""
    check_columns(frame)
    names = _trainable(frame)
    texts = text.choose(settings.text_encoder)
    members, arms = MemberEncoder.fit(frame), ArmEncoder.fit(frame, catalog, texts.name)
    book = ArmBook.build(arms, catalog, set(frame["arm_id"]))
    rows = pack(frame, members, arms, book, {name: _numbers(frame[name.value]) for name in names})
    rows.kept_back.copy_(torch.from_numpy(is_holdout(frame["member_id"], KEPT_BACK, KEPT_BACK_SALT)))
    factors = (len(arms.products), len(arms.creatives), len(arms.channels))
    sizes = Sizes(settings.width, tuple(len(words) for words in members.vocabulary), factors, texts.size)
    return Prepared(members, arms, rows, sizes, unprompted(frame), torch.from_numpy(dealt(frame["member_id"], FOLDS, FOLDS_SALT)))


def learn(prepared: Prepared, settings: TrainingSettings, seed: int, progress: Progress) -> MatchingModel:
    """Train the network, then the posteriors on it."""
    rows = prepared.rows
    towers, epochs = train_together(rows, prepared.sizes, settings, seed, progress)
    held = Wide(rows, prepared.sizes.categories, prepared.sizes.factors, settings.prior_precision).fit(prepared.folds)
    stacked = Stacked(towers, held.weights)
    known, found = posteriors(towers, rows, settings.prior_precision, progress, held)
    heads, taus = with_newcomers(stacked, rows, known)
    for label, (creative, pair) in taus.items():
        found[label.value]["newcomers"] = {"creative": round(creative, 6), "product_x_channel": round(pair, 6)}
    manifest: dict[str, Any] = {
        "seed": seed,
        "rows": len(rows),
        "base_rates": {n.value: float(r) for n, r in zip(rows.names, rows.base_rates, strict=True)},
        "epochs": [asdict(e) for e in epochs],
        "heads": found,
        "unprompted_value": prepared.unprompted_value,
        "training": settings.model_dump(),
    }
    return MatchingModel(prepared.members, prepared.arms, stacked, heads, manifest)


def _trainable(frame: pd.DataFrame) -> tuple[Label, ...]:
    counts = {label: pd.Series(_numbers(frame[label.value])).value_counts() for label in Label if label.value in frame}
    names = tuple(label for label, n in counts.items() if min(n.get(0.0, 0), n.get(1.0, 0)) >= FEWEST)
    if not names:
        raise NotReadyError(
            f"No label has {FEWEST} mature rows of each class among {len(frame)} decisions: there is nothing to learn yet. "
            "Wait until more decisions have matured (clicks after 1 day, conversions after 14)."
        )
    return names


def unprompted(frame: pd.DataFrame) -> float:
    """Mean money of a conversion under `none`; 0 where none was seen."""
    if "conversion_value" not in frame or Label.CONVERTED.value not in frame:
        return 0.0
    bought = (frame["arm_id"] == NONE).to_numpy() & (_numbers(frame[Label.CONVERTED.value]) == 1.0)
    values = _numbers(frame["conversion_value"])[bought]
    return float(np.nanmean(values)) if len(values) and not np.isnan(values).all() else 0.0


def _numbers(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Floats with NaN for NULL, from bool, object or nullable columns."""
    return pd.to_numeric(column.astype("object").where(column.notna(), np.nan).astype("float64")).to_numpy()
