"""A world of known truth for new arms: the members of `sources/simulated`, and creatives whose appeal follows from what their texts mean.

log appeal(creative) = tone + benefit + call, each drawn once for its meaning whatever the wording, + N(0, idiosyncratic^2) that no text tells;
each product x channel adds N(0, idiosyncratic^2) of its own. Everything else (needs, strength, affinity) is the simulated world's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np

from bench.coldstart.phrases import BENEFITS, CALLS, TONES
from sources.simulated.members import Members, draw_members
from sources.simulated.world import Floats, World, build_world
from training.domain.catalog import Catalog, Creative, arm_id
from training.domain.nouns import Arm

SPREAD = {"tone": 0.25, "benefit": 0.25, "call": 0.15}
"""Standard deviation of log appeal between meanings: a good text is clicked about twice as often as a bad one."""
CREATIVES, NEW, NEW_WORDS = 20, 8, 8
"""Creatives a product: in the log if not told otherwise; new in known wordings; new in words that the log never used."""

CREATIVE, UNSEEN, PAIR = "new_creative", "new_creative_unseen_words", "new_product_x_channel"
"""What can be new about an arm."""


@dataclass(frozen=True)
class ColdWorld:
    """`world` has every arm. The log shows those of `old`; `cases` names what is new: case -> arm ids."""

    world: World
    members: Members
    catalog: Catalog
    old: Catalog
    cases: dict[str, tuple[str, ...]]


def build(seed: int, members: int, idiosyncratic: float, base: Catalog, creatives: int = CREATIVES) -> ColdWorld:
    """Draw a world with `creatives` a product in its log; products and channels are those of `base`. Each product lacks one channel there: the new pair."""
    rng = np.random.default_rng([seed, 40])
    texts, appeal = _creatives(rng, idiosyncratic, creatives)
    channels = list(base.channels)
    missing = dict(zip(base.products, rng.choice(channels, len(base.products), replace=False), strict=True))
    arms = [Arm(arm_id(c.product_id, c.creative_id, k), c.product_id, c.creative_id, k) for c in texts.values() for k in channels]
    catalog = replace(base, creatives=texts, arms={a.arm_id: a for a in arms})
    old = {a.arm_id: a for a in arms if _kind(a.creative_id) == "old" and missing[a.product_id] != a.channel_id}
    return ColdWorld(
        *_truth(rng, seed, members, catalog, appeal, idiosyncratic),
        catalog,
        replace(catalog, creatives={c: t for c, t in texts.items() if _kind(c) == "old"}, arms=old),
        {
            CREATIVE: _picked(rng, [a for a in arms if _kind(a.creative_id) == "new" and missing[a.product_id] != a.channel_id]),
            UNSEEN: _picked(rng, [a for a in arms if _kind(a.creative_id) == "unseen" and missing[a.product_id] != a.channel_id]),
            PAIR: _picked(rng, [a for a in arms if _kind(a.creative_id) == "old" and missing[a.product_id] == a.channel_id]),
        },
    )


def _creatives(rng: np.random.Generator, idiosyncratic: float, known: int) -> tuple[dict[str, Creative], Floats]:
    """Creatives by id, and their log appeal in that order. No two of a product say the same."""
    tone, call = rng.normal(0, SPREAD["tone"], len(TONES)), rng.normal(0, SPREAD["call"], len(CALLS))
    found, appeal = {}, []
    for product, benefits in BENEFITS.items():
        worth = rng.normal(0, SPREAD["benefit"], len(benefits))
        said = rng.permutation(len(TONES) * len(benefits) * len(CALLS))
        for i, code in enumerate(said[: known + NEW + NEW_WORDS]):
            t, b, c = np.unravel_index(code, (len(TONES), len(benefits), len(CALLS)))
            kind = "old" if i < known else "new" if i < known + NEW else "unseen"
            words = [str(w[2 if kind == "unseen" else rng.integers(2)]) for w in (TONES[t], benefits[b], CALLS[c])]
            name = f"{product}_{kind}_{i}"
            found[name] = Creative(name, product, f"{words[0].rstrip('?')}{'?' if words[0].endswith('?') else ':'} {words[1]}. {words[2]}.")
            appeal.append(tone[t] + worth[b] + call[c] + rng.normal(0, idiosyncratic))
    return found, np.array(appeal)


def _truth(rng: np.random.Generator, seed: int, members: int, catalog: Catalog, appeal: Floats, idiosyncratic: float) -> tuple[World, Members]:
    """The simulated world with one quality an arm in the place of one a creative, and without tastes by seniority."""
    world = build_world(seed, members, date(2026, 1, 5), catalog)
    arms, shape = list(catalog.arms.values()), (len(catalog.products), len(catalog.channels))
    own = rng.normal(0, idiosyncratic, shape)
    quality = np.exp(appeal[world.arm_creative[:-1]] + own[world.arm_product[:-1], world.arm_channel[:-1]])
    changed = replace(
        world,
        arm_creative=np.arange(len(arms) + 1),
        creative_quality=np.append(quality, 0.0),
        creative_seniority=np.ones((len(arms) + 1, world.creative_seniority.shape[1])),
    )
    return changed, draw_members(changed)


def _kind(creative_id: str) -> str:
    return creative_id.split("_")[1]


def _picked(rng: np.random.Generator, arms: list[Arm]) -> tuple[str, ...]:
    """One channel of each creative where that leaves a choice, else NEW arms of each product and channel."""
    groups: dict[str, list[str]] = {}
    for a in arms:
        groups.setdefault(a.creative_id, []).append(a.arm_id)
    if all(len(g) > 1 for g in groups.values()):
        return tuple(str(rng.choice(g)) for g in groups.values())
    pairs: dict[str, list[str]] = {}
    for a in arms:
        pairs.setdefault(f"{a.product_id}.{a.channel_id}", []).append(a.arm_id)
    return tuple(str(x) for g in pairs.values() for x in rng.choice(g, NEW, replace=False))
