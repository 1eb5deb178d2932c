"""Who the members are: latent truth, and the noisy proxies of it that the platform may see."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sources.simulated.world import NEEDS, NO_NEED, SENIORITIES, Floats, Ints, World

COUNTRIES = ("US", "IN", "DE", "BR", "GB", "FR")
REGIONS = ("north", "south", "east", "west")
INDUSTRIES = ("technology", "staffing", "retail", "finance", "health", "education", "manufacturing", "media")
INTERESTS = ("career", "hiring", "growth", "selling", "learning")
ACQUISITIONS = ("organic", "search", "social", "referral")
DAY_US = 86_400_000_000
"""Microseconds in a day."""

# Share of each industry by need (rows: NEEDS, then no need); staffing recruits, retail is small business, technology sells.
_INDUSTRY = np.array(
    [
        [0.22, 0.04, 0.14, 0.14, 0.14, 0.14, 0.10, 0.08],
        [0.18, 0.40, 0.06, 0.10, 0.10, 0.05, 0.06, 0.05],
        [0.08, 0.03, 0.42, 0.08, 0.10, 0.07, 0.10, 0.12],
        [0.36, 0.04, 0.08, 0.20, 0.06, 0.04, 0.14, 0.08],
        [0.16, 0.05, 0.14, 0.14, 0.16, 0.16, 0.12, 0.07],
    ]
)
_SENIORITY = np.array(
    [[0.34, 0.34, 0.18, 0.10, 0.04], [0.10, 0.28, 0.26, 0.28, 0.08], [0.06, 0.12, 0.20, 0.24, 0.38], [0.16, 0.34, 0.26, 0.18, 0.06], [0.20] * 5]
)
_NEED = (0.20, 0.12, 0.14, 0.14, 0.40)


@dataclass(frozen=True)
class Members:
    """Arrays of one row per member. `need` codes NEEDS (4 is none); `affinity` is (members, channels + 1) with 0 for `none`; times in us since 1970."""

    need: Ints
    strength: Floats
    affinity: Floats
    visit: Floats
    app_share: Floats
    seniority: Ints
    joined_day: Ints
    signup_us: Ints
    consents: NDArray[np.uint8]
    country: Ints
    region: Ints
    industry: Ints
    interest: Ints
    acquisition: Ints
    lifetime_value: Floats


def draw_members(world: World) -> Members:
    """All members of `world`; a function of its seed and size only."""
    rng, n = np.random.default_rng([world.seed, 2]), world.members
    need = rng.choice(len(_NEED), n, p=_NEED)
    joined = np.where(rng.random(n) < world.rates.joining_share, rng.integers(0, world.rates.joining_days, n), -1)
    start_us = _start_us(world)
    age = (1 + 1400 * rng.beta(1.0, 2.0, n)) * DAY_US
    acquisition = rng.choice(4, n, p=[0.4, 0.25, 0.2, 0.15])
    declared = rng.choice([0, 1, 2], n, p=[0.40, 0.40, 0.20])  # nothing, the need, any
    own = np.where(need == NO_NEED, 4, need)
    return Members(
        need=need,
        strength=np.where(need == NO_NEED, 0.0, rng.gamma(6.0, 1 / 6.0, n)),
        affinity=_affinity(rng, world, acquisition),
        visit=rng.uniform(0.45, 0.9, n),
        app_share=rng.beta(2.0, 2.0, n),
        seniority=_by_row(rng, _SENIORITY, need),
        joined_day=joined,
        signup_us=np.where(joined < 0, start_us - age, start_us + joined * DAY_US + rng.random(n) * DAY_US * 0.3).astype(np.int64),
        consents=_consents(rng, world),
        country=rng.choice(6, n, p=[0.34, 0.2, 0.13, 0.13, 0.1, 0.1]),
        region=rng.integers(0, 4, n),
        industry=_by_row(rng, _INDUSTRY, need),
        interest=np.where(declared == 0, -1, np.where(declared == 1, own, rng.integers(0, 5, n))),
        acquisition=acquisition,
        lifetime_value=np.round(rng.gamma(1.5, np.where(need == 1, 90.0, 45.0)), 2),
    )


def members_on(world: World, members: Members, day: int) -> Members:
    """The members as they are on `day`: from `world.shift_day` on, each need has become the next one, so what told of the old need misleads.

    What was declared, industry and seniority stay; what a member looks at follows the need. Members without a need stay without.
    """
    if world.shift_day is None or day < world.shift_day:
        return members
    return replace(members, need=np.where(members.need == NO_NEED, NO_NEED, (members.need + 1) % NO_NEED))


def members_table(world: World, members: Members, rows: Ints, consents: NDArray[np.uint8], updated_us: Ints) -> pa.Table:
    """Raw `members` rows for member indices `rows`, with the consent mask and the instant of each row."""
    words = _consent_words(world)
    return pa.table(
        {
            "member_id": member_ids(rows),
            "signup_at": times(members.signup_us[rows]),
            "country": _names(COUNTRIES, members.country[rows]),
            "region": _names(REGIONS, members.region[rows]),
            "industry": _names(INDUSTRIES, members.industry[rows]),
            "seniority": _names(SENIORITIES, members.seniority[rows]),
            "interest": _names(INTERESTS, members.interest[rows]),
            "acquisition_channel": _names(ACQUISITIONS, members.acquisition[rows]),
            "lifetime_value": pa.array(members.lifetime_value[rows]),
            "consents": pa.array(words).take(pa.array(consents)),
            "updated_at": times(updated_us),
        }
    )


def truth_table(world: World, members: Members) -> pa.Table:
    """The latents, one row a member, in member order."""
    latents: dict[str, pa.Array] = {
        "member_id": member_ids(np.arange(world.members)),
        "need": _names((*NEEDS, "none"), members.need),
        "strength": pa.array(members.strength),
        "visit": pa.array(members.visit),
        "seniority": pa.array(members.seniority),
    }
    latents |= {f"affinity_{name}": pa.array(members.affinity[:, k]) for k, name in enumerate(world.catalog.channels)}
    return pa.table(latents)


def consent_bit(world: World, channel: int) -> int:
    """Bit of a channel in the consent mask; 0 for a channel that needs no consent, and for `none`."""
    needing = [k for k, c in enumerate(world.catalog.channels.values()) if c.needs_consent]
    return 1 << needing.index(channel) if channel in needing else 0


def member_ids(rows: Ints) -> pa.Array:
    """`m0000017` for row 17."""
    return pc.binary_join_element_wise("m", pc.utf8_lpad(pa.array(rows).cast(pa.string()), 7, "0"), "")


def times(us: Ints) -> pa.Array:
    """UTC instants from microseconds since 1970."""
    return pa.array(us.astype("datetime64[us]")).cast(pa.timestamp("us", tz="UTC"))


def _start_us(world: World) -> int:
    return int(np.datetime64(world.start, "us").astype(np.int64))


def _names(words: tuple[str, ...], codes: Ints) -> pa.Array:
    return pa.array(words).take(pa.array(codes, mask=codes < 0))


def _by_row(rng: np.random.Generator, shares: Floats, rows: Ints) -> Ints:
    above: Ints = (rng.random(len(rows))[:, None] > np.cumsum(shares, axis=1)[rows, :-1]).sum(axis=1)
    return above


def _affinity(rng: np.random.Generator, world: World, acquisition: Ints) -> Floats:
    k = len(world.catalog.channels)
    tilt = np.exp(0.3 * np.random.default_rng([world.seed, 3]).standard_normal((len(ACQUISITIONS), k)))
    own = np.exp(0.3 * rng.standard_normal((world.members, k)) - 0.045) * tilt[acquisition]
    return np.hstack([own, np.zeros((world.members, 1))])


def _consents(rng: np.random.Generator, world: World) -> NDArray[np.uint8]:
    share = {"email": 0.75, "sms": 0.35, "push": 0.55}
    mask = np.zeros(world.members, dtype=np.uint8)
    for k, name in enumerate(world.catalog.channels):
        bit = consent_bit(world, k)
        mask |= np.where(rng.random(world.members) < share.get(name, 0.5), bit, 0).astype(np.uint8)
    return mask


def _consent_words(world: World) -> list[str]:
    needing = [name for name, c in world.catalog.channels.items() if c.needs_consent]
    return [",".join(name for k, name in enumerate(needing) if code >> k & 1) for code in range(1 << len(needing))]
