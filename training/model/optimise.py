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

import torch
from torch.nn import functional

from training.config.settings import TrainingSettings
from training.model.adam import Adam
from training.model.device import CPU, device
from training.model.flat import flatten
from training.model.funnel import Stage
from training.model.fused import Network, network
from training.model.rows import CHUNK, IMMATURE, Rows
from training.model.team import Alone, Team
from training.model.towers import Sizes, Towers

Progress = Callable[[str], None]

FORGET = 0.3
"""Share of rows whose creative and recent rates are hidden from training, so that the text alone must explain them: a new creative is scored so."""
WARMUP = 20
"""Steps over which the learning rate rises to its full height."""
SMOOTH = 0.99
"""Weight of the past in the running mean, once as many steps were made."""
PATIENCE = 3
"""Epochs without a gain after which a label is no longer learned."""
STEPS, GROWTH = 200, 4
"""With more rows than STEPS batches of `settings.batch` twice over, batches double, up to GROWTH times: larger ones take less time a row."""
BAR = 12


@dataclass(frozen=True)
class Epoch:
    """Losses of each label as shares of its base rate's loss: of the rows learned from (mean of the labels still learned) and of those kept back."""

    learned: float
    kept_back: tuple[float, ...]


def train(rows: Rows, sizes: Sizes, settings: TrainingSettings, seed: int, progress: Progress, team: Team | None = None) -> tuple[Towers, list[Epoch]]:
    """The towers of the last epoch that helped, on the CPU, and all epochs; at most `settings.epochs` of them.

    The same rows and seed give the same weights; a `team` that trains together gives those of one process, apart from rounding. Where those kept back
    have no answer to some label, the rows learned from say when to stop; where all were kept back, these are learned from too.
    """
    generator = torch.Generator().manual_seed(seed)
    learner = Learner(rows.to(device(settings.device)), network(Towers(sizes), rows, generator), settings, team or Alone())
    size = batch_rows(settings.batch, int((~rows.kept_back).sum()))
    learned, judged = (torch.nonzero(rows.kept_back == kept)[:, 0] for kept in (False, True))
    learned = learned if len(learned) else judged
    judged = judged if (rows.labels[judged] != IMMATURE).any(dim=0).all() else learned
    epochs, best = list[Epoch](), deepcopy(learner.net.towers)
    while len(epochs) < settings.epochs and (active := _gaining(epochs, len(rows.names))).any():
        order = learned[torch.randperm(len(learned), generator=generator)]
        hidden = torch.rand(len(learned), generator=generator) < FORGET
        epochs.append(Epoch(learner.epoch(order, hidden, active, size), learner.measure(judged)))
        if (_newest_best(epochs) & active).any():
            best.load_state_dict(learner.smooth.towers.state_dict())
        progress(told(epochs, settings.epochs, rows.names))
    return best.to(CPU).eval(), epochs


def batch_rows(least: int, learned: int) -> int:
    """Rows of a step: `least`, doubled as long as an epoch of `learned` rows still has STEPS steps, to GROWTH times `least` at most."""
    size = least
    while size < GROWTH * least and learned // (2 * size) >= STEPS:
        size *= 2
    return size


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


def told(epochs: Sequence[Epoch], most: int, names: Sequence[Stage]) -> str:
    """One line of progress: a bar, and the newest epoch's losses."""
    full = round(BAR * len(epochs) / most)
    kept = ", ".join(f"{name.value} {loss:.4f}" for name, loss in zip(names, epochs[-1].kept_back, strict=True))
    return (
        f"[{'#' * full}{'.' * (BAR - full)}] epoch {len(epochs)} of at most {most}: loss {epochs[-1].learned:.4f}; on members kept back {kept} (1 = base rate)"
    )


class Learner:
    """A network, the running mean of its weights, and the steps that move both. Everything lies where `rows` lie."""

    def __init__(self, rows: Rows, net: Network, settings: TrainingSettings, team: Team) -> None:
        self.rows, self.team, self.rate, self.steps = rows, team, settings.learning_rate, 0
        self.parts = settings.parts or team.size
        self.net = net.to(rows.dense.device)
        self.smooth = deepcopy(self.net)
        (self.weights, self.gradient), (self.mean, _) = flatten(self.net), flatten(self.smooth)
        self.optimiser = Adam(self.weights, settings.weight_decay)
        base = rows.base_rates
        self.twice = rows.kinds.twice()
        self.entropy = -(base * base.log() + (1 - base) * (1 - base).log())

    def epoch(self, order: torch.Tensor, hidden: torch.Tensor, active: torch.Tensor, size: int) -> float:
        """One step for each `size` of the rows `order` [n], with the creative hidden where `hidden` [n]; the mean loss of the `active` [L] labels."""
        here = self.rows.dense.device
        share = active.to(here) / (active.sum().to(here) * self.entropy)
        parts = zip(torch.split(order.to(here), size), torch.split(hidden.to(here), size), strict=True)
        losses = torch.stack([self.step(batch, unseen, share) * len(batch) for batch, unseen in parts]).to(CPU, torch.float64)
        self.team.add(losses)
        return float(losses.sum()) / len(order)

    def step(self, batch: torch.Tensor, hidden: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Move the weights once by the rows `batch`, of which each process takes its part; that part of their loss. `share` [L] weighs the labels."""
        mature = self._mature(batch).clamp(min=1)  # of the whole batch, so that every part is divided by the same
        self.gradient.zero_()
        total = torch.zeros((), device=batch.device)
        for mine in self._mine():
            loss = (self._losses(self.net, batch[mine], hidden[mine]) * (share / mature)).sum()
            torch.autograd.backward(loss)
            total += loss.detach()
        self.team.add(self.gradient)
        self.optimiser.step(self.gradient, self.rate * min(1.0, (self.steps + 1) / WARMUP))
        self.mean.lerp_(self.weights, max(1.0 - SMOOTH, 10.0 / (self.steps + 10.0)))
        self.steps += 1
        return total

    def measure(self, which: torch.Tensor) -> tuple[float, ...]:
        """Losses of the running mean on the rows `which`, one a label, as shares of the base rate's."""
        here, losses, mature = self.rows.dense.device, list[torch.Tensor](), list[torch.Tensor]()
        with torch.no_grad():
            for rows in torch.split(which.to(here), CHUNK):
                losses.extend(self._losses(self.smooth, rows[mine]) for mine in self._mine())
                mature.append(self._mature(rows))
        total = torch.stack(losses).to(CPU, torch.float64).sum(dim=0)
        self.team.add(total)
        return tuple((total / torch.stack(mature).to(CPU).sum(dim=0).clamp(min=1) / self.entropy.to(CPU)).tolist())

    def _mine(self) -> list[slice]:
        """The parts of every batch that fall to this process."""
        return [slice(part, None, self.parts) for part in range(self.team.rank, self.parts, self.team.size)]

    def _mature(self, rows: torch.Tensor) -> torch.Tensor:
        """How many labels of `rows` are mature, [L]."""
        return (self.rows.labels.index_select(0, rows) != IMMATURE).sum(dim=0)

    def _losses(self, net: Network, rows: torch.Tensor, hidden: torch.Tensor | None = None) -> torch.Tensor:
        """`log_losses` of `rows`, [L]; where `hidden` bool [n], a row's creative and its recent rates count as unknown."""
        batch, kinds = self.rows.batch(rows), self.rows.kinds
        if hidden is not None:
            rates = batch.rates * ~hidden[:, None]
            batch, kinds = batch._replace(arm=batch.arm + len(kinds.shown) * hidden.to(torch.int64), rates=rates), self.twice
        return log_losses(net(batch, kinds, self.rows.numbers), batch.labels)[0]


def log_losses(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Log loss of each label summed over its mature rows, and how many these are, both [L], from `logits` and `labels` [n, L]."""
    mature, answers = (labels != IMMATURE).to(logits.dtype), labels.clamp(min=0).to(logits.dtype)
    return functional.binary_cross_entropy_with_logits(logits, answers, mature, reduction="none").sum(dim=0), mature.sum(dim=0)
