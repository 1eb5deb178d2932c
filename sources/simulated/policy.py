"""The logging policy: uniform over the feasible arms, so that every propensity is exactly 1 / (number of feasible arms)."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sources.simulated.world import Floats, Ints, World
from training.domain.nouns import Surface

SURFACES = tuple(Surface)


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


def choose(menus: Menus, rows: Ints, uniforms: Floats) -> tuple[Ints, Floats]:
    """Chosen arm index and its propensity for each decision's situation; `uniforms` in [0, 1)."""
    sizes = menus.sizes[rows]
    return menus.arms[rows, np.floor(uniforms * sizes).astype(np.int64)], 1.0 / sizes


def menu_columns(world: World, menus: Menus, rows: Ints) -> dict[str, pa.Array]:
    """`feasible_arms`, `propensities` and `exclusions` (only what consent withheld) as Arrow columns."""
    sizes = menus.sizes[rows]
    offsets = pa.array(np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32))
    flat = menus.arms[rows]
    arms = pa.array(world.arm_ids).take(pa.array(flat[flat >= 0]))
    return {
        "feasible_arms": pa.ListArray.from_arrays(offsets, arms),
        "propensities": pa.ListArray.from_arrays(offsets, pa.array(np.repeat(1.0 / sizes, sizes))),
        "exclusions": pa.array(menus.reasons, pa.string()).take(pa.array(rows)),
    }
