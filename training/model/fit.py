"""From a training set to a model: encoders, the network (`optimise`), then one Laplace posterior a label on the frozen phi of all rows."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import torch

from training.config.settings import TrainingSettings
from training.domain.catalog import Catalog
from training.domain.errors import NotReadyError
from training.domain.nouns import NONE, Label
from training.model import posterior, text
from training.model.arms import ArmBook, ArmEncoder
from training.model.encode import MemberEncoder
from training.model.matching import MatchingModel, check_columns
from training.model.optimise import Progress
from training.model.parallel import train_together
from training.model.posterior import LaplaceLogistic
from training.model.recalibrate import UNCHANGED, Correction, fit_correction, levelled, parts
from training.model.rows import IMMATURE, Rows, pack, spans
from training.model.split import is_holdout
from training.model.towers import Sizes, Towers

FEWEST = 20
"""A label needs this many mature rows of each class; below that a head would be noise."""
KEPT_BACK, KEPT_BACK_SALT = 0.15, b"rightmatch/kept-back/v1"
"""Share of the training members who only say when to stop; the posteriors learn from them too."""


def fit(frame: pd.DataFrame, catalog: Catalog, settings: TrainingSettings, seed: int, progress: Progress) -> MatchingModel:
    """Train on every row of `frame` (the caller has removed the held-out members); the same inputs give the same weights.

    Raises DataError for a missing column and NotReadyError if no label has FEWEST mature rows of both classes.
    """
    check_columns(frame)
    names = _trainable(frame)
    texts = text.choose(settings.text_encoder)
    members, arms = MemberEncoder.fit(frame), ArmEncoder.fit(frame, catalog, texts.name)
    book = ArmBook.build(arms, catalog, set(frame["arm_id"]))
    rows = pack(frame, members, arms, book, {name: _numbers(frame[name.value]) for name in names})
    rows.kept_back.copy_(torch.from_numpy(is_holdout(frame["member_id"], KEPT_BACK, KEPT_BACK_SALT)))
    factors = (len(arms.products), len(arms.creatives), len(arms.channels))
    sizes = Sizes(settings.width, tuple(len(words) for words in members.vocabulary), factors, texts.size)
    towers, epochs = train_together(rows, sizes, settings, seed, progress)
    heads, found = _heads(towers, rows, settings, progress)
    manifest: dict[str, Any] = {
        "seed": seed,
        "rows": len(frame),
        "base_rates": {n.value: float(r) for n, r in zip(names, rows.base_rates, strict=True)},
        "epochs": [asdict(e) for e in epochs],
        "heads": found,
        "unprompted_value": _unprompted(frame),
        "training": settings.model_dump(),
    }
    return MatchingModel(members, arms, towers, heads, manifest)


def _trainable(frame: pd.DataFrame) -> tuple[Label, ...]:
    counts = {label: pd.Series(_numbers(frame[label.value])).value_counts() for label in Label if label.value in frame}
    names = tuple(label for label, n in counts.items() if min(n.get(0.0, 0), n.get(1.0, 0)) >= FEWEST)
    if not names:
        raise NotReadyError(
            f"No label has {FEWEST} mature rows of each class among {len(frame)} decisions: there is nothing to learn yet. "
            "Wait until more decisions have matured (clicks after 1 day, conversions after 14)."
        )
    return names


def _heads(towers: Towers, rows: Rows, settings: TrainingSettings, progress: Progress) -> tuple[dict[Label, LaplaceLogistic], dict[str, Any]]:
    """Posterior of each label on all rows, corrected by what the members kept back say of one without them; and what was found, for the manifest."""
    with torch.no_grad():
        phi = torch.cat([towers(*rows.whole(span)) for span in spans(len(rows))])
    heads, found = {}, {}
    for i, label in enumerate(rows.names):
        mature = rows.labels[:, i] != IMMATURE
        seen, answers = phi[mature], rows.labels[mature, i].to(torch.float32)
        correction = _correction(seen, answers, rows.kept_back[mature], towers.sizes, settings.prior_precision)
        head, precisions = posterior.fit(seen, answers, towers.sizes.blocks, settings.prior_precision)
        heads[label] = levelled(correction.apply(head, towers.sizes.base), seen, answers)
        found[label.value] = {"prior_precisions": [round(x, 6) for x in precisions], "correction": {k: round(v, 6) for k, v in asdict(correction).items()}}
        progress(f"posterior of {label.value}: {len(seen):,} mature rows; members kept back leave {correction.effect:.0%} of its arm effects")
    return heads, found


def _correction(phi: torch.Tensor, answers: torch.Tensor, kept_back: torch.Tensor, sizes: Sizes, smallest: float) -> Correction:
    """How the head of the other members must be corrected to fit those kept back; unchanged where they are too few to say."""
    judged, learned = answers[kept_back], answers[~kept_back]
    if min(_fewer(judged), _fewer(learned)) < FEWEST:
        return UNCHANGED
    head, _ = posterior.fit(phi[~kept_back], learned, sizes.blocks, smallest)
    return fit_correction(parts(phi[kept_back], head, sizes.base), judged.to(torch.float64))


def _fewer(answers: torch.Tensor) -> int:
    """Rows of the rarer class."""
    return int(min(answers.sum(), (1 - answers).sum()))


def _unprompted(frame: pd.DataFrame) -> float:
    """Mean money of a conversion under `none`; 0 where none was seen."""
    if "conversion_value" not in frame or Label.CONVERTED.value not in frame:
        return 0.0
    bought = (frame["arm_id"] == NONE).to_numpy() & (_numbers(frame[Label.CONVERTED.value]) == 1.0)
    values = _numbers(frame["conversion_value"])[bought]
    return float(np.nanmean(values)) if len(values) and not np.isnan(values).all() else 0.0


def _numbers(column: pd.Series[Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Floats with NaN for NULL, from bool, object or nullable columns."""
    return pd.to_numeric(column.astype("object").where(column.notna(), np.nan).astype("float64")).to_numpy()
