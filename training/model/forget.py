"""Forgetting: what members want changes, and old answers then tell of other wants. How fast to forget is not set by hand but found by prequential replay.

Prequential (Dawid 1984, "Statistical theory: the prequential approach"; Gama et al. 2013, "On evaluating stream learning algorithms", fading factors): each
candidate half-life is scored by what its model said of answers that came later, old scores fading too, and the best one learns the model in charge.
A half-life h keeps a decision of age t for training with probability 2^(-t/h), drawn once from its id, and multiplies what a posterior is sure of by
2^(-1/h) a day between retrains. `None` keeps everything: the model of today.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import numpy as np
import pandas as pd

from training.domain.catalog import Catalog
from training.domain.nouns import Label
from training.model.funnel import needed
from training.model.matching import MatchingModel
from training.model.posterior import LaplaceLogistic
from training.model.split import points

HALF_LIVES: tuple[float | None, ...] = (None, 28.0, 14.0, 7.0)
"""Candidates, in days; the first is what is believed before any score."""
FADING = 0.5
"""What a score still counts at the next one."""
SALT = b"rightmatch/forget/v1"
RARE = 1e-6


def recent(frame: pd.DataFrame, half_life: float | None, end: datetime) -> pd.DataFrame:
    """The rows of `frame` that are still remembered at `end`; all with None. A row that is forgotten stays forgotten later and at shorter half-lives."""
    if half_life is None:
        return frame
    age = (pd.Timestamp(end) - pd.to_datetime(frame["decided_at"], utc=True)) / pd.Timedelta(days=1)
    kept = points(frame["decision_id"], SALT) < np.exp2(-age.to_numpy(dtype=np.float64) / half_life)
    left: pd.DataFrame = frame[kept].reset_index(drop=True)
    return left


def faded(model: MatchingModel, half_life: float | None, days: float) -> MatchingModel:
    """The model `days` later without any answer: its means stand, its certainty has faded. The same model with None."""
    if half_life is None:
        return model
    share = 2.0 ** (-days / half_life)
    return replace(model, heads={stage: LaplaceLogistic(head.mean, head.precision * share) for stage, head in model.heads.items()})


def surprise(model: MatchingModel, answers: Mapping[Label, pd.DataFrame], catalog: Catalog) -> float:
    """Mean over labels of the log loss of `answers` (as `update.updated` takes them), each divided by the entropy of its rate: 1 is no better than the rate.

    Infinite where the model has no head for a label that has answers of both kinds: it has forgotten so much that it would decide without it.
    """
    losses = []
    for label, frame in answers.items():
        said = frame[label.value].to_numpy(dtype="float64")
        if not len(said) or not 0 < said.mean() < 1:
            continue
        if not needed(label, model.heads):
            return float("inf")
        p = model.predict(frame, catalog)[label].clip(RARE, 1 - RARE)
        rate = said.mean()
        entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
        losses.append(float(-(said * np.log(p) + (1 - said) * np.log(1 - p)).mean() / entropy))
    return float(np.mean(losses)) if losses else 1.0


@dataclass(frozen=True)
class Scores:
    """Faded sums of surprise, one a candidate."""

    candidates: Sequence[float | None] = HALF_LIVES
    sums: tuple[float, ...] = field(default=())

    def after(self, found: Sequence[float]) -> Scores:
        """With the newest surprise of each candidate."""
        before = self.sums or (0.0,) * len(self.candidates)
        return replace(self, sums=tuple(FADING * old + new for old, new in zip(before, found, strict=True)))

    @property
    def best(self) -> float | None:
        """The half-life that was surprised least; the first of equals, and the first before any score."""
        return self.candidates[int(np.argmin(self.sums))] if self.sums else self.candidates[0]
