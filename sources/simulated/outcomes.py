"""What each arm does to each member: the world's truth, used both to draw outcomes and to answer `truth.expected`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sources.simulated.members import Members
from sources.simulated.world import NO_NEED, Floats, Ints, World


@dataclass(frozen=True)
class Situation:
    """Rows to answer for: member index, arm index, messages of the last 7 days, and owned products as a bit mask (bit k: product k)."""

    member: Ints
    arm: Ints
    messages: Ints
    owned: Ints


@dataclass(frozen=True)
class Chances:
    """P of each thing after one decision. `effect` is the conversion that the message causes, `organic` what happens anyway; `lapsed` the hazard of leaving."""

    clicked: Floats
    effect: Floats
    organic: Floats
    dismissed: Floats
    opted_out: Floats
    lapsed: Floats

    @property
    def converted(self) -> Floats:
        """P(convert): either cause, drawn independently."""
        return 1.0 - (1.0 - self.effect) * (1.0 - self.organic)


def chances(world: World, members: Members, s: Situation) -> Chances:
    """The truth for each row of `s`.

    A message works by match (need meets product, scaled by strength), creative (quality, taste of that seniority), channel (quality, own affinity),
    and fatigue: exp(-k messages) on conversion, exp(+k messages) on harm. Owning the product leaves a tenth.
    """
    r = world.rates
    need, product = members.need[s.member], world.arm_product[s.arm]
    shown = s.arm != world.none
    matched = shown & (need == product) & (need != NO_NEED)
    conflict = world.conflict[s.arm]
    appeal = world.creative_quality[world.arm_creative[s.arm]] * world.creative_seniority[world.arm_creative[s.arm], members.seniority[s.member]]
    reach = world.channel_quality[world.arm_channel[s.arm]] * members.affinity[s.member, world.arm_channel[s.arm]]
    pull = appeal * reach * np.where(conflict, r.conflict_lift, 1.0) * np.exp(-r.fatigue_conversion * s.messages)
    owns_it = (s.owned >> np.minimum(product, len(world.product_ids)) & 1).astype(bool)
    effect = np.where(matched, r.matched * members.strength[s.member], r.mismatched) * pull * np.where(owns_it, r.owned_factor, 1.0)
    owns_need = (s.owned >> need & 1).astype(bool)
    organic = np.where(need == NO_NEED, r.organic_other, r.organic_need * members.strength[s.member]) * np.where(owns_need, r.owned_factor, 1.0)
    effect = np.where(shown, np.minimum(effect, 0.4), 0.0)
    harm = np.exp(r.fatigue_harm * s.messages)
    click = np.where(matched, r.click_matched * members.strength[s.member], r.click_mismatched) * pull
    lapse = np.where(shown, np.where(conflict, r.lapse_conflict, r.lapse_message), r.lapse_none)
    return Chances(
        clicked=np.where(shown, np.minimum(np.maximum(click, effect), 0.8), 0.0),
        effect=effect,
        organic=np.minimum(organic, 0.2),
        dismissed=np.where(shown, np.minimum(r.dismiss * harm, 0.15), 0.0),
        opted_out=np.where(shown, np.where(conflict, r.opt_out_conflict, r.opt_out) * harm, 0.0),
        lapsed=np.minimum(lapse * np.where(shown, harm, 1.0), 0.5),
    )


def bought_product(world: World, members: Members, s: Situation, effect: np.ndarray) -> Ints:
    """Product index that a conversion buys: the arm's where the message caused it, else the one that meets the need (any, by member, without a need)."""
    need = members.need[s.member]
    own = np.where(need == NO_NEED, s.member % len(world.product_ids), need)
    return np.where(effect & (s.arm != world.none), world.arm_product[s.arm], own)
