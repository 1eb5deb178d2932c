"""The plain way to train: a Dataset that answers one row at a time, torch's DataLoader with its default collate, forward, loss, backward, step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import perf_counter, process_time

import torch
from torch.utils.data import DataLoader, Dataset

from training.config.settings import TrainingSettings
from training.model.arms import ArmRows
from training.model.encode import MemberRows
from training.model.fused import Network, network
from training.model.optimise import log_losses
from training.model.rows import Batch, Rows
from training.model.towers import Sizes, Towers

Tensors = tuple[torch.Tensor, ...]
Forward = Callable[[Network, list[torch.Tensor]], torch.Tensor]


class Decisions(Dataset[Tensors]):
    """Rows of equally long tensors."""

    def __init__(self, columns: Tensors) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: int) -> Tensors:
        """One row."""
        return tuple(column[index] for column in self.columns)


class PlainLoop:
    """Trains a network of its own on `rows`, for a while at a time.

    `narrow` false: the row is what the towers take (numbers, words, context, factors, text, rates, shown) and the network is `Towers` with its head, each
    arm encoded anew for each row. True: the row is the platform's narrow one, and so is the network, which leaves the loop as the only difference.
    """

    def __init__(self, rows: Rows, sizes: Sizes, settings: TrainingSettings, seed: int, *, narrow: bool) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.net = network(Towers(sizes), rows, generator)
        self.base = rows.base_rates
        self.forward: Forward = (lambda net, row: net(Batch(*row), rows.kinds, rows.numbers)) if narrow else _whole
        columns: Tensors = rows.batch(slice(0, len(rows)))
        if not narrow:
            members, arms = rows.whole(slice(0, len(rows)))
            columns = (*members, *arms, rows.labels)
        self.loader = DataLoader(Decisions(columns), batch_size=settings.batch, shuffle=True, generator=generator)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
        self.batches = self._endless()
        self.rows, self.seconds, self.cpu_seconds = 0, 0.0, 0.0

    def run(self, seconds: float) -> None:
        """Train for about so long; adds to `rows`, `seconds` and `cpu_seconds`."""
        started, busy = perf_counter(), process_time()
        while perf_counter() - started < seconds:
            row = next(self.batches)
            loss = _loss(self.forward(self.net, row), row[-1], self.base)
            self.optimiser.zero_grad()
            torch.autograd.backward(loss)
            self.optimiser.step()
            self.rows += len(row[-1])
        self.seconds, self.cpu_seconds = self.seconds + perf_counter() - started, self.cpu_seconds + process_time() - busy

    def _endless(self) -> Iterator[list[torch.Tensor]]:
        while True:
            yield from self.loader


def _whole(net: Network, row: list[torch.Tensor]) -> torch.Tensor:
    logits: torch.Tensor = net.head(net.towers(MemberRows(*row[:3]), ArmRows(*row[3:7]))[:, : net.head.in_features])
    return logits


def _loss(logits: torch.Tensor, labels: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
    """Mean log loss of each label over its mature rows as a share of its base rate's, mean over the labels: what the platform minimises."""
    losses, mature = log_losses(logits, labels)
    entropy = -(base * base.log() + (1 - base) * (1 - base).log())
    return (losses / mature.clamp(min=1) / entropy).mean()
