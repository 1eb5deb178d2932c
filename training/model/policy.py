"""The policy on a whole log: feasible arms -> exact propensities. `compiled` serves one member by the same arithmetic.

One set of S draws is shared by all decisions: in serving by those of one posterior, with a seed that its version gives; here by all of the log. Given these
draws the policy is a fixed function of member and context, so its probabilities are exact, and they do not depend on how the log is cut into chunks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.errors import DataError
from training.domain.nouns import Label
from training.model.arms import NEWCOMERS, ArmBook, ArmHistory
from training.model.funnel import needed
from training.model.matching import DECIDED, MatchingModel, check_columns
from training.model.select import Prices, draw_utilities, draw_weights, propensities
from training.model.towers import pairs

PAIRS = 2_048
"""Member-arm pairs scored at once: PAIRS x draws floats a label stay within the processor's cache or near it."""


@dataclass(frozen=True)
class Probabilities:
    """Ragged: decision i owns the slice offsets[i]:offsets[i + 1] of `arms` (ids), `p` and each of `means` (P(label | arm))."""

    offsets: npt.NDArray[np.int64]
    arms: npt.NDArray[np.object_]
    p: npt.NDArray[np.float64]
    means: Mapping[Label, npt.NDArray[np.float64]]


def policy_probabilities(
    model: MatchingModel, frame: pd.DataFrame, settings: Settings, seed: int, arm_features: Mapping[str, Mapping[str, object]] | None = None
) -> Probabilities:
    """Exact probability of every feasible arm of every decision of `frame` (columns as in the training set), and what the model expects of it.

    Arm rates are those that the frame knows for that arm and day; for decisions still to come, whose arms the frame cannot know, give ARM_NUMERIC by
    arm id. Memory is bounded by PAIRS x draws. Raises DataError for a missing column or a decision without feasible arms.
    """
    check_columns(frame, *DECIDED)
    catalog = load_catalog(settings.catalog)
    book = model.book(catalog, frame)
    arms = np.concatenate(frame["feasible_arms"].to_numpy()).astype(object) if len(frame) else np.zeros(0, dtype=object)
    sizes = frame["feasible_arms"].map(len).to_numpy(dtype=np.int64)
    if len(sizes) and not sizes.min():
        bad = frame["decision_id"].to_numpy()[sizes == 0]
        raise DataError(f"{len(bad)} decision(s) have no feasible arm, e.g. {bad[0]}: no policy can be evaluated there. Correct `feasible_arms` in the log.")
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    generator = torch.Generator().manual_seed(seed)
    weights = draw_weights(model.heads, settings.exploration.draws, settings.exploration.nu or model.nu, generator)
    p, means = np.zeros(len(arms)), {label: np.zeros(len(arms)) for label in Label if needed(label, model.heads)}
    members, codes = model.members.rows(frame), torch.from_numpy(book.codes(arms))
    history = ArmHistory.read(model.arms, book, frame) if arm_features is None else _as_served(model, book, frame, arm_features)
    days, table = history.day_codes(frame), _arm_table(model, book, history)
    with torch.no_grad():
        for rows in _chunks(sizes):
            where = offsets[rows][:, None] + np.arange(sizes[rows[0]])[None, :]
            shown, picked = codes[where], torch.from_numpy(rows)
            phi = pairs(model.towers, members.take(picked), table[days[picked][:, None], shown])
            utilities = draw_utilities(phi, model.towers.sizes.base, weights, Prices(book.value[shown], book.cost[shown]), settings.utility)
            p[where] = propensities(utilities, settings.exploration.epsilon).numpy()
            for label, mean in model.means(phi).items():
                means[label][where] = mean.numpy()
    return Probabilities(offsets, arms, p, means)


def _chunks(sizes: npt.NDArray[np.integer[Any]]) -> Iterator[npt.NDArray[np.int64]]:
    """Rows with equally many feasible arms together, so that each chunk is a dense array without padding."""
    for size in np.unique(sizes):
        rows = np.flatnonzero(sizes == size)
        step = max(1, PAIRS // int(size))
        for start in range(0, len(rows), step):
            yield rows[start : start + step]


def _arm_table(model: MatchingModel, book: ArmBook, history: ArmHistory) -> torch.Tensor:
    """The arm tower's output of every arm on every day, [days, arms, k]: computed once, looked up by every decision."""
    codes = torch.arange(len(book.ids))
    with torch.no_grad():
        parts = [model.towers.arms(book.rows(codes, rates)) for rates in history.rates]
    return torch.stack(parts) if parts else torch.zeros(0, len(codes), 1 + model.towers.sizes.arm + book.ahead.shape[1] - 2 + 2 * NEWCOMERS)


def _as_served(model: MatchingModel, book: ArmBook, frame: pd.DataFrame, arm_features: Mapping[str, Mapping[str, object]]) -> ArmHistory:
    """The same rates on every day of `frame`."""
    days = tuple(sorted(set(pd.to_datetime(frame["decided_at"], utc=True).dt.date)))
    rates = torch.from_numpy(model.arms.rates(book.counts(arm_features)))
    return ArmHistory(days, rates.expand(len(days), -1, -1))
