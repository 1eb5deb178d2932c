"""Who decides: any policy over the menus of the day; by default the logging policy, uniform, so that every propensity is 1 / (number of feasible arms)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sources.simulated.world import Floats, Ints, World
from training.domain.nouns import Surface

SURFACES = tuple(Surface)
GROUP = "random"
"""Assignment group of the uniform policy's decisions."""


@dataclass(frozen=True)
class Menus:
    """The feasible arms of each situation; row = surface index * 2^(channels that need consent) + consent mask.

    `arms` is (situations, widest menu) padded with -1, `sizes` the number of feasible arms, `reasons` JSON or None.
    """

    arms: Ints
    sizes: Ints
    reasons: tuple[str | None, ...]
    masks: int

    def rows(self, surface: Ints, consents: NDArray[np.uint8]) -> Ints:
        """Situation of each decision."""
        return surface * self.masks + consents


def build_menus(world: World) -> Menus:
    """Every situation's menu, from the catalog's own rule."""
    needing = [name for name, c in world.catalog.channels.items() if c.needs_consent]
    index = {arm: k for k, arm in enumerate(world.arm_ids)}
    menus: list[list[int]] = []
    reasons: list[str | None] = []
    for surface in SURFACES:
        for mask in range(1 << len(needing)):
            agreed = [name for k, name in enumerate(needing) if mask >> k & 1]
            menus.append([index[arm] for arm in world.catalog.feasible(surface, agreed)])
            withheld = {arm: why for arm, why in world.catalog.excluded(surface, agreed).items() if why.startswith("no consent")}
            reasons.append(json.dumps(withheld) if withheld else None)
    width = max(len(m) for m in menus)
    return Menus(np.array([m + [-1] * (width - len(m)) for m in menus]), np.array([len(m) for m in menus]), tuple(reasons), 1 << len(needing))


@dataclass(frozen=True)
class Asked:
    """The decisions of one day, one row each: member index, surface code, menu row, instant (us since 1970), and a uniform in [0, 1) to choose with.

    `messages` (of the last 7 days) and `owned` (product bits) are the truth's: an oracle may read them, others see them through features only.
    """

    day: int
    member: Ints
    surface: Ints
    menu: Ints
    at: Ints
    messages: Ints
    owned: Ints
    uniforms: Floats


@dataclass(frozen=True)
class Chosen:
    """The answer: arm index [n], the probability of each arm of the menu [n, widest menu] (0 where the menu has none), and who decided."""

    arm: Ints
    probabilities: Floats
    propensity: Floats
    group: str


class Policy(Protocol):
    """Decides a whole day at once."""

    def __call__(self, menus: Menus, asked: Asked) -> Chosen:
        """One arm a row of `asked`, each feasible on its menu."""


def uniform(menus: Menus, asked: Asked) -> Chosen:
    """The logging policy."""
    sizes = menus.sizes[asked.menu]
    arms = menus.arms[asked.menu]
    shares = np.where(arms >= 0, 1.0 / sizes[:, None], 0.0)
    return Chosen(arms[np.arange(len(sizes)), np.floor(asked.uniforms * sizes).astype(np.int64)], shares, 1.0 / sizes, GROUP)


def draw(menus: Menus, asked: Asked, probabilities: Floats, group: str) -> Chosen:
    """Arms drawn from `probabilities` [n, widest menu] by the uniforms of `asked`, so that policies that agree choose alike."""
    edges = np.cumsum(probabilities, axis=1)
    spots = np.minimum((asked.uniforms[:, None] * edges[:, -1:] >= edges).sum(axis=1), probabilities.shape[1] - 1)
    rows = np.arange(len(spots))
    return Chosen(menus.arms[asked.menu, spots], probabilities, probabilities[rows, spots], group)


def menu_columns(world: World, menus: Menus, rows: Ints, probabilities: Floats) -> dict[str, pa.Array]:
    """`feasible_arms`, `propensities` and `exclusions` (only what consent withheld) as Arrow columns."""
    sizes = menus.sizes[rows]
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    flat = menus.arms[rows]
    arms = pa.array(world.arm_ids).take(pa.array(flat[flat >= 0]))
    return {
        "feasible_arms": pa.ListArray.from_arrays(offsets, arms),
        "propensities": pa.ListArray.from_arrays(offsets, pa.array(probabilities[flat >= 0])),
        "exclusions": pa.array(menus.reasons, pa.string()).take(pa.array(rows)),
    }
