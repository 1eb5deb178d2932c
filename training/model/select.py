"""From posterior draws to one arm. Drawing and selecting are apart: everything below the draws is arithmetic on arrays.

Arrays carry the arms on the last axis but one and the draws on the last: [..., A, S].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from training.config.settings import UtilitySettings
from training.domain.nouns import Label
from training.model.funnel import Stage, chances, needed
from training.model.posterior import Posterior

NOTHING = 1e-5
"""Columns whose weights are all smaller are those that a head does not read (`posterior.NEVER`): such a weight is 0 for certain."""
Parts = dict[tuple[int, ...], torch.Tensor]
"""Columns of phi that some head reads -> their copy."""
JUDGED = (Label.CONVERTED, Label.RETAINED, Label.OPTED_OUT)
"""Labels that the utility reads; the others only help to learn phi."""


@dataclass(frozen=True)
class Prices:
    """Money by arm, [..., A]: `value` of a conversion, `cost` of the message."""

    value: torch.Tensor
    cost: torch.Tensor


def draw_weights(heads: Mapping[Stage, Posterior], draws: int, nu: float, generator: torch.Generator) -> dict[Stage, torch.Tensor]:
    """S weight vectors [S, d] (float32) of each head that the utility needs, drawn in the order of Stage; 0 where a head does not read a column."""
    read = {stage for label in JUDGED for stage in needed(label, heads)}
    drawn = {stage: heads[stage].draw(draws, nu, generator).to(torch.float32) for stage in Stage if stage in read}
    return {stage: weights * (weights.abs().amax(dim=0) > NOTHING) for stage, weights in drawn.items()}


def draw_utilities(
    phi: torch.Tensor, base: int, weights: Mapping[Stage, torch.Tensor], prices: Prices, worth: UtilitySettings, parts: Parts | None = None
) -> torch.Tensor:
    """Utility of every arm under every draw, [B, A, S], from phi [B, A, d], whose first `base` columns do not depend on the arm.

    Whoever asks again for the same phi keeps `parts`, empty at first.
    """
    member, parts = phi[:, 0, :base], {} if parts is None else parts
    shown, unprompted = dict[Stage, torch.Tensor](), dict[Stage, torch.Tensor]()
    for stage, drawn in weights.items():
        alone = (member @ drawn[:, :base].T)[:, None, :]
        read = base + torch.nonzero(drawn[:, base:].abs().amax(dim=0) > NOTHING)[:, 0]
        unprompted[stage] = torch.sigmoid(alone)
        if not len(read):  # no arm changes it
            shown[stage] = unprompted[stage].expand(-1, phi.shape[1], -1)
            continue
        columns = tuple(read.tolist())
        if columns not in parts:  # heads that read the same columns share their copy
            parts[columns] = phi[:, :, read]
        shown[stage] = (parts[columns] @ drawn[:, read].T).add_(alone).sigmoid_()
    nothing, found = chances(unprompted), chances(shown)
    total = (-prices.cost[..., None]).expand(-1, -1, next(map(len, weights.values()), 1)).clone()
    for label in JUDGED:
        if label in found:
            total += worth_of(label, found[label], nothing[label], prices.value, worth)
    return total


def worth_of(label: Label, shown: torch.Tensor, unprompted: torch.Tensor, value: torch.Tensor, worth: UtilitySettings) -> torch.Tensor:
    """Money that one label adds to the utility. `shown` [..., A, S] are probabilities under each arm, `unprompted` [..., 1, S] those under `none`.

    value (P(convert | a) - P(convert | none)); + w_r (P(retain | a) - P(retain | none)); - w_o P(opt out | a). Other labels are worth nothing. Who would
    buy anyway buys what they need, not what is shown, so an arm is paid for the difference alone.
    """
    match label:
        case Label.CONVERTED:
            return (shown - unprompted).mul_(value[..., None])
        case Label.RETAINED:
            return (shown - unprompted).mul_(worth.retention)
        case Label.OPTED_OUT:
            return shown * -worth.opt_out
        case Label.CLICKED | Label.VISITED:
            return torch.zeros_like(shown)


def propensities(utilities: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Probability of each arm, float64 [..., A]: (1 - epsilon) x the share of draws [..., A, S] that it wins + epsilon / A.

    Sums to 1 and is positive on every feasible arm, whatever S is. A tie goes to the arm that stands first.
    """
    arms, draws = utilities.shape[-2:]
    winners = utilities.max(dim=-2).indices
    wins = torch.zeros(utilities.shape[:-1], dtype=torch.float64)
    wins.scatter_add_(-1, winners, torch.ones(winners.shape, dtype=torch.float64))
    return (1 - epsilon) * wins / draws + epsilon / arms


def choose(probabilities: torch.Tensor, generator: torch.Generator) -> int:
    """Position of one arm drawn from `probabilities` [A] itself, which makes the logged propensity exact."""
    return int(torch.multinomial(probabilities, 1, generator=generator).item())
