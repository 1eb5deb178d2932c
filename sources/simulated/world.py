"""What is fixed in one world: the catalog as arrays, the quality of each creative and channel, and the rates. All drawn from the seed.

Numbers are our own choice (no public data gives them); the whole set is written to `world.json` in the truth folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.domain.catalog import Catalog, load_catalog
from training.domain.errors import ConfigError
from training.domain.nouns import NONE

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEEDS = ("job_seeker", "recruiter", "small_business", "seller")
"""Latent needs; need k is met by the k-th product of the catalog, and code `len(NEEDS)` is no need at all."""
NO_NEED = len(NEEDS)
SENIORITIES = ("entry", "mid", "senior", "manager", "executive")
CONFLICT = ("last_chance", "free_trial")
"""Creatives that press: they convert about twice as well and lose many times more members."""


@dataclass(frozen=True)
class Rates:
    """Probabilities per decision, before a creative's, channel's and member's multipliers; hazards of leaving likewise."""

    matched: float = 0.044
    mismatched: float = 0.0018
    organic_need: float = 0.004
    organic_other: float = 0.001
    owned_factor: float = 0.1
    click_matched: float = 0.12
    click_mismatched: float = 0.025
    dismiss: float = 0.06
    opt_out: float = 0.0045
    opt_out_conflict: float = 0.014
    lapse_none: float = 0.0005
    lapse_message: float = 0.0011
    lapse_conflict: float = 0.033
    conflict_lift: float = 2.0
    fatigue_conversion: float = 0.07
    fatigue_harm: float = 0.08
    outbound: float = 0.12
    on_visit: float = 0.41
    joining_share: float = 0.04
    joining_days: int = 56


@dataclass(frozen=True)
class World:
    """Identity and parameters of one world; arm index `len(arm_ids) - 1` is `none`."""

    seed: int
    members: int
    start: date
    catalog: Catalog
    rates: Rates
    arm_ids: tuple[str, ...]
    arm_product: Ints
    arm_creative: Ints
    arm_channel: Ints
    conflict: NDArray[np.bool_]
    creative_quality: Floats
    creative_seniority: Floats
    channel_quality: Floats
    product_ids: tuple[str, ...] = field(default=())
    shift_day: int | None = None
    """Day index from which on each member needs something else (`members.members_on`); None: never."""

    @property
    def none(self) -> int:
        """Index of the arm `none`."""
        return len(self.arm_ids) - 1

    def day(self, index: int) -> date:
        """Date of day `index`, the first being 0."""
        return self.start + timedelta(days=index)

    def facts(self) -> dict[str, Any]:
        """What `world.json` holds: enough to rebuild and to compare."""
        found: dict[str, Any] = {
            "seed": self.seed,
            "members": self.members,
            "start": self.start.isoformat(),
            "rates": asdict(self.rates),
            "arms": list(self.arm_ids),
            "conflict_creatives": [c for c in self.catalog.creatives if c in CONFLICT],
            "creative_quality": dict(zip(self.catalog.creatives, self.creative_quality.tolist(), strict=False)),
            "creative_seniority": self.creative_seniority.tolist(),
            "channel_quality": dict(zip(self.catalog.channels, self.channel_quality.tolist(), strict=False)),
        }
        return found if self.shift_day is None else found | {"shift_day": self.shift_day}


def build_world(seed: int, members: int, start: date, catalog: Catalog, shift_day: int | None = None) -> World:
    """Draw the world. Raises ConfigError if the catalog has not one product per latent need."""
    products = list(catalog.products)
    if len(products) != len(NEEDS):
        raise ConfigError(f"The simulated world needs {len(NEEDS)} products, one per latent need; the catalog has {len(products)}. Use dbt/seeds/simulated.")
    creatives, channels, arms = list(catalog.creatives), list(catalog.channels), list(catalog.arms.values())
    rng = np.random.default_rng([seed, 1])
    quality = rng.uniform(0.75, 1.3, len(creatives))
    taste = np.exp(0.25 * rng.standard_normal((len(creatives), len(SENIORITIES))))
    reach = rng.uniform(0.8, 1.2, len(channels))
    # The appended entries belong to `none`: it has no product, creative or channel of its own.
    return World(
        seed=seed,
        members=members,
        start=start,
        catalog=catalog,
        rates=Rates(),
        arm_ids=(*(a.arm_id for a in arms), NONE),
        arm_product=np.array([*(products.index(a.product_id) for a in arms), len(products)]),
        arm_creative=np.array([*(creatives.index(a.creative_id) for a in arms), len(creatives)]),
        arm_channel=np.array([*(channels.index(a.channel_id) for a in arms), len(channels)]),
        conflict=np.array([*(a.creative_id in CONFLICT for a in arms), False]),
        creative_quality=np.append(quality, 0.0),
        creative_seniority=np.vstack([taste, np.zeros((1, len(SENIORITIES)))]),
        channel_quality=np.append(reach, 0.0),
        product_ids=tuple(products),
        shift_day=shift_day,
    )


def save_world(world: World, truth: Path, catalog_folder: Path) -> None:
    """Write `world.json` and a copy of the catalog. Raises ConfigError if the folder already holds another world."""
    path = truth / "world.json"
    text = json.dumps(world.facts(), indent=1, sort_keys=True)
    if path.is_file() and path.read_text(encoding="utf-8") != text:
        raise ConfigError(
            f"{path} describes another world (seed, members, start or catalog differ): going on would mix two worlds in one history. "
            "Use another --truth and --out, or empty both."
        )
    truth.mkdir(parents=True, exist_ok=True)
    copy = truth / "catalog"
    copy.mkdir(exist_ok=True)
    for source in sorted(catalog_folder.glob("*.csv")):
        (copy / source.name).write_bytes(source.read_bytes())
    aside = path.with_suffix(".tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


def load_world(truth: Path) -> World:
    """Rebuild the world that `truth` describes. Raises ConfigError if there is none."""
    path = truth / "world.json"
    if not path.is_file():
        raise ConfigError(f"{path} does not exist, so the truth of this world is unknown. Run `python -m sources.simulated --truth {truth} ...` first.")
    facts = json.loads(path.read_text(encoding="utf-8"))
    return build_world(facts["seed"], facts["members"], date.fromisoformat(facts["start"]), load_catalog(truth / "catalog"), facts.get("shift_day"))
