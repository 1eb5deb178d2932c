"""The network's training: Adam on the masked log loss of all labels, until members that were kept back stop gaining.

Masked: an immature label is NaN and adds nothing. Each label's loss is divided by its entropy at the base rate, so that rare labels shape phi as
much as frequent ones, and 1 means "no better than the base rate". What is kept is a running mean of the weights (Polyak and Juditsky 1992).

How long to train follows from the data: a label leaves the loss once its prediction for members kept back has stopped gaining, so that a noisy
label cannot spoil phi while another still teaches it; the last one ends training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import cast

import torch
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from training.config.settings import TrainingSettings
from training.domain.nouns import Label
from training.model.arms import ArmRows
from training.model.encode import MemberRows
from training.model.towers import Sizes, Towers, initialise

Progress = Callable[[str], None]

FORGET = 0.1
"""Share of rows whose creative is hidden from training, so that the text alone must explain it: that is how a new creative is scored."""
DECAY = 1e-2
WARMUP = 20
"""Steps over which the learning rate rises to its full height."""
SMOOTH = 0.99
"""Weight of the past in the running mean, once as many steps were made."""
PATIENCE = 3
"""Epochs without a gain after which a label is no longer learned."""
BAR = 12


@dataclass(frozen=True)
class Rows:
    """The training set as tensors: labels [n, L] with NaN where immature, `kept_back` [n] true where a row only says when to stop."""

    members: MemberRows
    arms: ArmRows
    labels: torch.Tensor
    names: tuple[Label, ...]
    kept_back: torch.Tensor

    @property
    def base_rates(self) -> torch.Tensor:
        """Mean of the mature values of each label, [L]."""
        return torch.nanmean(self.labels, dim=0)

    def take(self, rows: torch.Tensor) -> tuple[MemberRows, ArmRows, torch.Tensor]:
        """Members, arms and labels of the given rows."""
        return self.members.take(rows), ArmRows(*(part[rows] for part in self.arms)), self.labels[rows]


@dataclass(frozen=True)
class Epoch:
    """Losses of each label as shares of its base rate's loss: of the rows learned from (mean of the labels still learned) and of those kept back."""

    learned: float
    kept_back: tuple[float, ...]


def train(rows: Rows, sizes: Sizes, settings: TrainingSettings, seed: int, progress: Progress) -> tuple[Towers, list[Epoch]]:
    """The towers of the last epoch that helped, and all epochs; at most `settings.epochs` of them. The same rows and seed give the same weights.

    Where no member was kept back, the rows learned from say when to stop.
    """
    generator = torch.Generator().manual_seed(seed)
    net = _network(rows, sizes, generator)
    average = AveragedModel(net, multi_avg_fn=_smoothed)
    smooth = cast("_Network", average.module)
    optimiser = torch.optim.AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=DECAY)
    warm = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: min(1.0, (step + 1) / WARMUP))
    learned, judged = torch.nonzero(~rows.kept_back)[:, 0], torch.nonzero(rows.kept_back)[:, 0]
    judged = judged if len(judged) else learned
    base, epochs, best = rows.base_rates, list[Epoch](), deepcopy(net.towers)
    while len(epochs) < settings.epochs and (active := _gaining(epochs, len(rows.names))).any():
        total = 0.0
        for batch in torch.split(learned[torch.randperm(len(learned), generator=generator)], settings.batch):
            members, arms, labels = rows.take(batch)
            loss = _losses(net(members, _forgetful(arms, generator)), labels, base)[active].mean()
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            warm.step()
            average.update_parameters(net)
            total += float(loss.detach()) * len(batch)
        epochs.append(Epoch(total / len(learned), _measured(smooth, rows, judged, base)))
        if (_newest_best(epochs) & active).any():
            best.load_state_dict(smooth.towers.state_dict())
        progress(told(epochs, settings.epochs, rows.names))
    return best.eval(), epochs


def _gaining(epochs: Sequence[Epoch], labels: int) -> torch.Tensor:
    """Which labels are still learned, bool [L]: those whose best epoch is not PATIENCE epochs ago. A label that stopped does not come back."""
    active = torch.ones(labels, dtype=torch.bool)
    for count in range(PATIENCE, len(epochs) + 1):
        found = torch.tensor([e.kept_back for e in epochs[:count]])
        active &= found[-PATIENCE:].amin(dim=0) <= found.amin(dim=0)
    return active


def _newest_best(epochs: Sequence[Epoch]) -> torch.Tensor:
    """Which labels were never predicted better than in the newest epoch, bool [L]."""
    found = torch.tensor([e.kept_back for e in epochs])
    return found[-1] <= found.amin(dim=0)


def told(epochs: Sequence[Epoch], most: int, names: Sequence[Label]) -> str:
    """One line of progress: a bar, and the newest epoch's losses."""
    full = round(BAR * len(epochs) / most)
    kept = ", ".join(f"{name.value} {loss:.4f}" for name, loss in zip(names, epochs[-1].kept_back, strict=True))
    return (
        f"[{'#' * full}{'.' * (BAR - full)}] epoch {len(epochs)} of at most {most}: loss {epochs[-1].learned:.4f}; on members kept back {kept} (1 = base rate)"
    )


class _Network(nn.Module):
    """Towers, and one linear head a label."""

    def __init__(self, towers: Towers, head: nn.Linear) -> None:
        super().__init__()
        self.towers, self.head = towers, head

    def forward(self, members: MemberRows, arms: ArmRows) -> torch.Tensor:
        """Logits [n, L]."""
        logits: torch.Tensor = self.head(self.towers(members, arms))
        return logits


def _network(rows: Rows, sizes: Sizes, generator: torch.Generator) -> _Network:
    """Weights drawn from `generator`; the heads start from the base rates."""
    towers, head = Towers(sizes), nn.Linear(sizes.phi, len(rows.names), bias=False)
    initialise(towers, generator)
    with torch.no_grad():
        head.weight.zero_()
        head.weight[:, 0] = torch.logit(rows.base_rates)
    return _Network(towers, head)


Tensors = tuple[torch.Tensor, ...] | list[torch.Tensor]


def _smoothed(averages: Tensors, currents: Tensors, count: torch.Tensor | int) -> None:
    """Move each running mean towards the current weights: quickly at first, by 1 - SMOOTH in the end."""
    torch._foreach_lerp_(averages, currents, max(1.0 - SMOOTH, 10.0 / (float(count) + 10.0)))


def _measured(net: nn.Module, rows: Rows, which: torch.Tensor, base: torch.Tensor) -> tuple[float, ...]:
    with torch.no_grad():
        members, arms, labels = rows.take(which)
        return tuple(_losses(net(members, arms), labels, base).tolist())


def _forgetful(arms: ArmRows, generator: torch.Generator) -> ArmRows:
    keep = torch.rand(len(arms.factors), generator=generator) >= FORGET
    mask = torch.ones_like(arms.factors)
    mask[:, 1] = keep
    return arms._replace(factors=arms.factors * mask)


def _losses(logits: torch.Tensor, labels: torch.Tensor, base_rates: torch.Tensor) -> torch.Tensor:
    """Mean log loss of each label over its mature rows, divided by the entropy of its base rate, [L]."""
    mature = ~torch.isnan(labels)
    losses = functional.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none") * mature
    entropy = -(base_rates * base_rates.log() + (1 - base_rates) * (1 - base_rates).log())
    return losses.sum(dim=0) / mature.sum(dim=0).clamp(min=1) / entropy
