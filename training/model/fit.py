"""Training: the network by Adam on the masked log loss of all labels, then one Laplace posterior a label on the frozen phi.

Masked: an immature label is NaN and adds nothing. Each label's loss is divided by its entropy at the base rate, so that rare labels
shape phi as much as frequent ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn import functional

from training.config.settings import TrainingSettings
from training.domain.catalog import Catalog
from training.domain.errors import NotReadyError
from training.domain.nouns import NONE, Label
from training.model import posterior
from training.model.arms import ArmBook, ArmEncoder, ArmRows
from training.model.encode import MemberEncoder, MemberRows
from training.model.matching import MatchingModel, check_columns, encode_rows
from training.model.towers import Sizes, Towers, initialise

Progress = Callable[[str], None]

FORGET = 0.1
"""Share of rows whose creative is hidden from training, so that the text alone must explain it: that is how a new creative is scored."""
DECAY = 1e-2
FEWEST = 20
"""A label needs this many mature rows of each class; below that a head would be noise."""


@dataclass(frozen=True)
class Rows:
    """The training set as tensors: labels [n, L] with NaN where immature."""

    members: MemberRows
    arms: ArmRows
    labels: torch.Tensor
    names: tuple[Label, ...]

    @property
    def base_rates(self) -> torch.Tensor:
        """Mean of the mature values of each label, [L]."""
        return torch.nanmean(self.labels, dim=0)


def fit(frame: pd.DataFrame, catalog: Catalog, settings: TrainingSettings, seed: int, progress: Progress) -> MatchingModel:
    """Train on every row of `frame` (the caller has removed the held-out members); the same inputs give the same weights.

    Raises DataError for a missing column and NotReadyError if no label has FEWEST mature rows of both classes.
    """
    check_columns(frame)
    names = _trainable(frame)
    members, arms = MemberEncoder.fit(frame), ArmEncoder.fit(frame, catalog)
    book = ArmBook.build(arms, catalog, set(frame["arm_id"]))
    encoded = encode_rows(frame, members, arms, book)
    labels = torch.from_numpy(np.stack([_numbers(frame[n.value]) for n in names], axis=1).astype(np.float32))
    rows = Rows(*encoded, labels, names)
    sizes = Sizes(settings.width, tuple(len(words) for words in members.vocabulary), (len(arms.products), len(arms.creatives), len(arms.channels)))
    towers, losses = _train(rows, sizes, settings, torch.Generator().manual_seed(seed), progress)
    heads, precisions = _heads(towers, rows, settings, progress)
    manifest: dict[str, Any] = {
        "seed": seed,
        "rows": len(frame),
        "base_rates": {n.value: float(r) for n, r in zip(names, rows.base_rates, strict=True)},
        "losses": losses,
        "prior_precisions": precisions,
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


def _train(rows: Rows, sizes: Sizes, settings: TrainingSettings, generator: torch.Generator, progress: Progress) -> tuple[Towers, list[float]]:
    towers, head = Towers(sizes), nn.Linear(sizes.phi, len(rows.names), bias=False)
    initialise(towers, generator)
    with torch.no_grad():
        head.weight.zero_()
        head.weight[:, 0] = torch.logit(rows.base_rates)
    parameters = [*towers.parameters(), *head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=settings.learning_rate, weight_decay=DECAY)
    count = len(rows.labels)
    steps = settings.epochs * -(-count // settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / 20) * max(0.0, 1 - step / steps))
    losses = []
    for epoch in range(settings.epochs):
        total = 0.0
        for batch in _batches(count, settings.batch, generator):
            arms = _forgetful(ArmRows(*(part[batch] for part in rows.arms)), generator)
            loss = _loss(head(towers(rows.members.take(batch), arms)), rows.labels[batch], rows.base_rates)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        losses.append(total / count)
        progress(f"epoch {epoch + 1}/{settings.epochs}: loss {losses[-1]:.4f} of the base rates' loss")
    towers.eval()
    return towers, losses


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
    yield from torch.split(torch.randperm(count, generator=generator), size)


def _forgetful(arms: ArmRows, generator: torch.Generator) -> ArmRows:
    keep = torch.rand(len(arms.factors), generator=generator) >= FORGET
    mask = torch.ones_like(arms.factors)
    mask[:, 1] = keep
    return arms._replace(factors=arms.factors * mask)


def _loss(logits: torch.Tensor, labels: torch.Tensor, base_rates: torch.Tensor) -> torch.Tensor:
    mature = ~torch.isnan(labels)
    losses = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none") * mature
    entropy = -(base_rates * base_rates.log() + (1 - base_rates) * (1 - base_rates).log())
    return (losses.sum(dim=0) / mature.sum(dim=0).clamp(min=1) / entropy).mean()


def _heads(towers: Towers, rows: Rows, settings: TrainingSettings, progress: Progress) -> tuple[dict[Label, posterior.LaplaceLogistic], dict[str, list[float]]]:
    with torch.no_grad():
        spans = [slice(i, i + posterior.CHUNK) for i in range(0, len(rows.labels), posterior.CHUNK)]
        phi = torch.cat([towers(rows.members.take(s), ArmRows(*(part[s] for part in rows.arms))) for s in spans])
    heads, precisions = {}, {}
    for i, label in enumerate(rows.names):
        mature = ~torch.isnan(rows.labels[:, i])
        heads[label], found = posterior.fit(phi[mature], rows.labels[mature, i], towers.sizes.blocks, settings.prior_precision)
        precisions[label.value] = [round(x, 6) for x in found]
        progress(f"posterior of {label.value}: {int(mature.sum()):,} mature rows")
    return heads, precisions


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
