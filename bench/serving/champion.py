"""A champion over any number of arms, trained by the platform's own fit on a log of the simulated world's members.

All arms are shown on the web, so that a request for that surface considers every one of them. Creatives say what those of `bench.coldstart` say.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from bench.coldstart import log as logs
from bench.coldstart.phrases import BENEFITS, CALLS, TONES
from bench.coldstart.world import ColdWorld
from sources.simulated.members import draw_members
from sources.simulated.outcomes import Situation, chances
from sources.simulated.world import build_world
from training.config.settings import ROOT, TextChoice, TrainingSettings
from training.domain.catalog import Catalog, Creative, arm_id, load_catalog
from training.domain.nouns import Arm, Surface
from training.model.fit import fit
from training.model.matching import MatchingModel

ROWS, MEMBERS = 60_000, 10_000
"""Of the log; a third of its rows are asked on the web, where the arms are."""
STAYS = 0.95
"""Share of members who come back in the fourth week whatever was shown, as in the simulated world."""


def champion(arms: int, seed: int, rows: int = ROWS) -> tuple[MatchingModel, Catalog]:
    """A model trained on `rows` decisions, and a catalog of `arms` arms on the web, besides `none`; about a minute.

    Raises ValueError for more arms than texts can be made.
    """
    catalog = offers(arms)
    cold = _world(catalog, seed)
    rng = np.random.default_rng([seed, 51])
    frame = log(cold, rng, rows)
    settings = TrainingSettings(text_encoder=TextChoice.HASHED)
    return fit(frame, catalog, settings, seed, lambda _: None), catalog


def offers(arms: int) -> Catalog:
    """`arms` arms: the simulated world's products, each with as many creatives as it takes, in turn, on the channels of the web."""
    base = load_catalog(ROOT / "dbt" / "seeds" / "simulated")
    channels = {name: c for name, c in base.channels.items() if c.surface is Surface.WEB}
    creatives = {c.creative_id: c for c in islice(_creatives(), -(-arms // len(channels)))}
    made = [Arm(arm_id(c.product_id, c.creative_id, k), c.product_id, c.creative_id, k) for c in creatives.values() for k in channels][:arms]
    if len(made) < arms:
        raise ValueError(f"{arms} arms were asked for, and texts for {len(made)} can be made: the benchmark would time fewer than it says. Ask for fewer.")
    return replace(base, channels=channels, creatives=creatives, arms={a.arm_id: a for a in made})


def write(catalog: Catalog, folder: Path) -> None:
    """Write `catalog` as the four CSV files from which the platform reads it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in (("products", catalog.products), ("creatives", catalog.creatives), ("channels", catalog.channels), ("arms", catalog.arms)):
        with (folder / f"{name}.csv").open("w", newline="", encoding="utf-8") as file:
            rows = [vars(row) for row in table.values()]
            csv.writer(file).writerows([rows[0], *(row.values() for row in rows)])


def log(cold: ColdWorld, rng: np.random.Generator, rows: int = ROWS) -> pd.DataFrame:
    """`rows` decisions with all labels, the arm uniform over what is feasible."""
    frame = logs.log(cold, logs.people(cold, rng), rows, rng)
    index = {a: i for i, a in enumerate(cold.world.arm_ids)}
    member, arm = (np.array(codes, dtype=np.int64) for codes in (frame["member_id"].str[1:].to_numpy(), frame["arm_id"].map(index).to_numpy()))
    nothing = np.zeros(rows, dtype=np.int64)
    truth = chances(cold.world, cold.members, Situation(member, arm, nothing, nothing))
    visit, left = cold.members.visit[member], rng.random(rows) < truth.lapsed
    frame["visited"] = ~left & (rng.random(rows) > (1 - visit) ** 14)
    frame["retained"] = ~left & (rng.random(rows) < STAYS)
    frame["opted_out"] = rng.random(rows) < truth.opted_out
    return frame


def _world(catalog: Catalog, seed: int) -> ColdWorld:
    world = build_world(seed, MEMBERS, date(2026, 1, 5), catalog)
    return ColdWorld(world, draw_members(world), catalog, catalog, {})


def _creatives() -> Iterator[Creative]:
    """Every text that can be put together, a product after the other in turn."""
    texts = zip(*(_texts(product) for product in BENEFITS), strict=True)
    return (Creative(f"{product}_{i}", product, text) for i, turn in enumerate(texts) for product, text in zip(BENEFITS, turn, strict=True))


def _texts(product: str) -> Iterator[str]:
    """All of one product: meanings first, then their wordings."""
    for wording in range(3):
        for tone in TONES:
            for benefit in BENEFITS[product]:
                for call in CALLS:
                    yield f"{tone[wording]}: {benefit[wording]}. {call[wording]}."
