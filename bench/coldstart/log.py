"""The log that a model is trained on, and impressions of a new arm, in the columns of the training set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.coldstart.world import ColdWorld
from sources.simulated.day import TOPIC_OF_CHANCE, TOPIC_OF_NEED
from sources.simulated.members import DAY_US, consent_bit, members_table
from sources.simulated.outcomes import Situation, chances
from sources.simulated.policy import SURFACES
from sources.simulated.world import Floats, Ints
from training.domain.schema import ARM_NUMERIC, MEMBER_CATEGORICAL, MEMBER_NUMERIC

DAYS = 14
"""Days of the log; its rows are spread over them evenly."""
TOPICS = ("jobs_28d", "hiring_28d", "business_28d", "selling_28d")


@dataclass(frozen=True)
class People:
    """What the platform knows of each member, row i for member i."""

    features: pd.DataFrame
    consents: Ints


def people(cold: ColdWorld, rng: np.random.Generator) -> People:
    """Features that show a need as dimly as the simulated world's do: topics looked at on some visits, and by chance. Others are missing."""
    m, n = cold.members, cold.world.members
    visits = rng.poisson(28 * m.visit)
    table = members_table(cold.world, m, np.arange(n), m.consents, m.signup_us).to_pandas()
    frame = pd.DataFrame(dict.fromkeys(MEMBER_NUMERIC, np.nan), index=range(n))
    frame["visits_28d"], frame["visits_7d"] = visits, rng.binomial(visits, 0.25)
    for k, name in enumerate(TOPICS):
        frame[name] = rng.binomial(visits, np.where(m.need == k, TOPIC_OF_NEED, 0.0) + TOPIC_OF_CHANCE / len(TOPICS))
    frame["tenure_days"] = (pd.Timestamp(cold.world.start, tz="UTC") - pd.to_datetime(table["signup_at"])).dt.days.clip(lower=0)
    frame["lifetime_value"] = m.lifetime_value
    for name in MEMBER_CATEGORICAL:
        frame[name] = table[name].to_numpy()
    return People(frame, m.consents.astype(np.int64))


def log(cold: ColdWorld, known: People, rows: int, rng: np.random.Generator) -> pd.DataFrame:
    """`rows` decisions, the arm uniform over the old catalog's feasible ones; labels `clicked` and `converted`; arm counts as of each day's start."""
    member = rng.integers(0, cold.world.members, rows)
    day = np.sort(rng.integers(0, DAYS, rows))
    surface = rng.integers(0, len(SURFACES), rows)
    menus = _menus(cold)
    options = [menus[s, c] for s, c in zip(surface.tolist(), known.consents[member].tolist(), strict=True)]
    chosen = [o[int(u * len(o))] for o, u in zip(options, rng.random(rows).tolist(), strict=True)]
    frame = rows_of(cold, known, member, chosen, day)
    frame["surface"], frame["feasible_arms"] = np.array(SURFACES)[surface], options
    truth = chances(cold.world, cold.members, _situation(cold, member, chosen))
    frame["clicked"], frame["converted"] = rng.random(rows) < truth.clicked, rng.random(rows) < truth.converted
    return _counted(frame, day)


def rows_of(cold: ColdWorld, known: People, member: Ints, arms: Sequence[str], day: Ints) -> pd.DataFrame:
    """One row a decision without its label, on the arm's own surface; nothing is known yet of the arms' rates."""
    frame = known.features.iloc[member].reset_index(drop=True)
    frame["decision_id"], frame["member_id"] = [f"d{i}" for i in range(len(member))], [f"m{i}" for i in member]
    frame["decided_at"] = pd.Timestamp(cold.world.start, tz="UTC") + pd.to_timedelta(day * DAY_US + DAY_US // 2, unit="us")
    frame["day"] = frame["decided_at"].dt.date
    surfaces = {a.arm_id: cold.catalog.channels[a.channel_id].surface.value for a in cold.catalog.arms.values()}
    frame["arm_id"] = list(arms)
    frame["surface"] = [surfaces.get(a, SURFACES[0].value) for a in arms]
    frame["feasible_arms"] = [(a,) for a in arms]
    for name in ARM_NUMERIC:
        frame[f"arm_{name}"] = np.nan
    return frame


def audience(cold: ColdWorld, arm: str) -> Ints:
    """Members who may be shown `arm`."""
    channel = list(cold.catalog.channels).index(cold.catalog.arms[arm].channel_id)
    bit = consent_bit(cold.world, channel)
    return np.flatnonzero((cold.members.consents & bit) == bit)


def click_rates(cold: ColdWorld, member: Ints, arm: str) -> Floats:
    """True P(click) of each member when shown `arm`."""
    return chances(cold.world, cold.members, _situation(cold, member, [arm] * len(member))).clicked


def _situation(cold: ColdWorld, member: Ints, arms: Sequence[str]) -> Situation:
    index = {a: i for i, a in enumerate(cold.world.arm_ids)}
    nothing = np.zeros(len(member), dtype=np.int64)
    return Situation(member, np.array([index[a] for a in arms], dtype=np.int64), nothing, nothing)


def _menus(cold: ColdWorld) -> dict[tuple[int, int], tuple[str, ...]]:
    """Feasible arms of the old catalog by surface and consent mask."""
    bits = {name: consent_bit(cold.world, k) for k, name in enumerate(cold.catalog.channels)}
    masks = range(1 << sum(bit > 0 for bit in bits.values()))
    return {
        (s, mask): tuple(cold.old.feasible(surface, [name for name, bit in bits.items() if bit & mask])) for s, surface in enumerate(SURFACES) for mask in masks
    }


def _counted(frame: pd.DataFrame, day: Ints) -> pd.DataFrame:
    """Fill ARM_NUMERIC with what each arm had earned before the day of the row (all of the log is younger than 28 days)."""
    arm, names = pd.factorize(frame["arm_id"])
    columns = dict(zip(ARM_NUMERIC, (np.ones(len(day)), frame["clicked"], np.zeros(len(day)), frame["converted"]), strict=True))
    for name, earned in columns.items():
        total = np.zeros((DAYS + 1, len(names)))
        np.add.at(total, (day + 1, arm), np.asarray(earned, dtype=np.float64))
        frame[f"arm_{name}"] = total.cumsum(axis=0)[day, arm]
    return frame
