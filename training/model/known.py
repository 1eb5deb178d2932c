"""What known arms say beyond an average creative of their product, and what the network says of a product x channel: the ground of `newcomers`."""

from __future__ import annotations

from typing import NamedTuple

import torch

from training.model.arms import ArmRows
from training.model.encode import MemberRows
from training.model.rows import Kinds, Rows, spans
from training.model.stacked import Stacked
from training.model.towers import Towers

REFERENCE = 1024
"""Rows of each channel on which the network's levels of pairs are compared."""
AT_ONCE = 4_096
"""Rows that are scored together: what the towers hold of them is large, and is what training needs most memory for."""
STEPS = 8
"""Newton steps: an offset of 8 log odds is found."""

UNSEEN = 1e6
"""Variance of the error of what was not measured at all."""


class Net(NamedTuple):
    """A frozen network and the mean of every head, float32 [L, phi]."""

    towers: Towers | Stacked
    means: torch.Tensor

    def logits(self, members: MemberRows, arms: ArmRows) -> torch.Tensor:
        """[n, L]."""
        phi: torch.Tensor = self.towers(members, arms)[:, : self.means.shape[1]]
        return phi @ self.means.T


class Scored(NamedTuple):
    """Logits [n, L] of rows without their recent rates: as they are, and as if an average creative of no name had been shown."""

    named: torch.Tensor
    average: torch.Tensor


class Measured(NamedTuple):
    """Offsets in log odds [g] that answers ask for, each with the variance of its error; UNSEEN where nothing was seen."""

    offset: torch.Tensor
    error: torch.Tensor


def averages(kinds: Kinds) -> torch.Tensor:
    """Mean text of each product's creatives, [products + 1, size]; first that of all."""
    size = int(kinds.factors[:, 0].max()) + 1
    total, count = torch.zeros(size, kinds.text.shape[1]), torch.zeros(size, 1)
    seen = kinds.factors[:, 0] > 0
    for code in torch.unique(kinds.factors[seen, 1]).tolist():
        first = torch.nonzero(kinds.factors[:, 1] == code)[0, 0]
        for place in (0, int(kinds.factors[first, 0])):
            total[place] += kinds.text[first]
            count[place] += 1
    return total / count.clamp(min=1)


def measured(logits: torch.Tensor, answers: torch.Tensor, group: torch.Tensor, size: int) -> Measured:
    """What `answers` [n], 0 to 1, say of an offset to the `logits` [n] of each `group` [n] in [0, size), float64: the normal shape of its likelihood
    where it is most probable under N(0, 1), so that a group without a single success has an offset too.
    """
    offset = torch.zeros(size, dtype=torch.float64)
    sums = torch.zeros(2, size, dtype=torch.float64)
    for step in range(STEPS + 1):
        p = torch.sigmoid(logits + offset[group])
        sums = torch.zeros(2, size, dtype=torch.float64).index_add(1, group, torch.stack([answers - p, p * (1 - p)]))
        if step < STEPS:
            offset = offset + ((sums[0] - offset) / (sums[1] + 1)).clamp(-1.0, 1.0)
    seen = sums[1] > 0
    return Measured(torch.where(seen, offset + sums[0] / sums[1].clamp(min=1e-12), 0.0), torch.where(seen, 1 / sums[1].clamp(min=1e-12), UNSEEN))


def scored(net: Net, rows: Rows, average: torch.Tensor) -> Scored:
    """Two passes of the towers over every row."""
    nameless = rows.kinds.nameless()
    nameless = nameless._replace(text=average[nameless.factors[:, 0]] * nameless.shown)
    found: tuple[list[torch.Tensor], list[torch.Tensor]] = ([], [])
    for span in spans(len(rows), AT_ONCE):
        members, arms = rows.whole(span)
        arm = rows.arm[span].to(torch.int64)
        arms = arms._replace(rates=torch.zeros_like(arms.rates))
        found[0].append(net.logits(members, arms))
        found[1].append(net.logits(members, arms._replace(factors=nameless.factors[arm], text=nameless.text[arm])))
    return Scored(*(torch.cat(part) for part in found))


def levels(net: Net, rows: Rows, average: torch.Tensor) -> torch.Tensor:
    """What the network says of every product x channel, [P + 1, K + 1, L]: log odds of the mean chance of REFERENCE rows of the channel (0: of any)."""
    factors, arm = rows.kinds.factors, rows.arm.to(torch.int64)
    found = []
    for channel in range(int(factors[:, 2].max()) + 1):
        shown = torch.nonzero((factors[arm, 2] == channel) if channel else (factors[arm, 2] > 0))[:, 0]
        shown = shown if len(shown) else torch.arange(len(rows))  # a log may hold decisions to show nothing alone
        some = shown[torch.linspace(0, max(len(shown) - 1, 0), min(REFERENCE, len(shown))).to(torch.int64)]
        members = MemberRows(rows.dense[some, : rows.numbers], rows.codes[some].to(torch.int64), rows.dense[some, rows.numbers :])
        by = [net.logits(members, _average_arm(len(some), (product, channel), average[product], factors.shape[1])) for product in range(len(average))]
        found.append(torch.stack([torch.logit(torch.sigmoid(x.to(torch.float64)).mean(dim=0)) for x in by]))
    return torch.stack(found, dim=1)


def _average_arm(count: int, pair: tuple[int, int], text: torch.Tensor, columns: int) -> ArmRows:
    """`count` times the average creative of a product on a channel."""
    factors = torch.zeros(count, columns, dtype=torch.int64)
    factors[:, 0], factors[:, 2] = pair
    return ArmRows(factors, text.expand(count, -1), torch.zeros(count, 3), torch.ones(count, 1))
