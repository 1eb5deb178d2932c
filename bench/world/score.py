"""What a day's decisions are truly worth, by the world's known chances: no outcome is counted, so that no luck is in the figures.

Utility of an arm is money: what the conversion is expected to bring, plus the settings' price of a member kept (relative to showing nothing) and of
an opt-out, minus the message's cost. Revenue is the first part of it alone. A conversion that would have happened anyway brings what the member's own need
buys, whatever was shown.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sources.simulated.members import Members, members_on
from sources.simulated.outcomes import Situation, bought_product, chances
from sources.simulated.policy import Asked, Menus
from sources.simulated.world import Floats, World
from training.config.settings import UtilitySettings

MEASURES = ("decisions", "messages", "conversion", "revenue", "lapse", "opt_out", "utility")


@dataclass(frozen=True)
class Worth:
    """Expected conversion, revenue, lapse, opt-out, message and utility of each arm of each menu, [n, widest menu]; 0 where the menu has no arm."""

    feasible: np.ndarray
    conversion: Floats
    revenue: Floats
    lapse: Floats
    opt_out: Floats
    messages: Floats
    utility: Floats

    def expected(self, probabilities: Floats) -> dict[str, float]:
        """MEASURES summed over the decisions, each a mean under the policy's own probabilities [n, widest menu]."""
        sums = {name: float((probabilities * getattr(self, name)).sum()) for name in MEASURES[1:]}
        return {"decisions": float(len(probabilities)), **sums}


def worth(world: World, members: Members, menus: Menus, asked: Asked, prices: UtilitySettings) -> Worth:
    """The truth of each arm on each menu of `asked`."""
    arms = menus.arms[asked.menu]
    width, feasible = arms.shape[1], arms >= 0
    flat = np.where(feasible, arms, world.none).ravel()
    situation = Situation(np.repeat(asked.member, width), flat, np.repeat(asked.messages, width), np.repeat(asked.owned, width))
    now = members_on(world, members, asked.day)
    c = chances(world, now, situation)
    value = np.append([p.value for p in world.catalog.products.values()], 0.0)
    own = value[bought_product(world, now, situation, np.zeros(len(flat), dtype=bool))]
    cost = np.append([k.cost for k in world.catalog.channels.values()], 0.0)[world.arm_channel[flat]]
    unprompted = np.repeat(c.lapsed.reshape(arms.shape)[:, :1], width, axis=1).ravel()  # `none` stands first on every menu
    money = c.effect * value[world.arm_product[flat]] + (1 - c.effect) * c.organic * own
    utility = money + prices.retention * (unprompted - c.lapsed) - prices.opt_out * c.opted_out - cost
    shown = (flat != world.none).astype(float)
    return Worth(feasible, *(np.where(feasible, x.reshape(arms.shape), 0.0) for x in (c.converted, money, c.lapsed, c.opted_out, shown, utility)))
