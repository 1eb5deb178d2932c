"""One day of the world: visits, decisions, what follows from them, and the rows that say so. Draws depend on (seed, day) alone, whoever decides."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from sources.simulated import rows
from sources.simulated.members import DAY_US, Members, consent_bit, members_on, members_table
from sources.simulated.outcomes import Chances, Situation, bought_product, chances
from sources.simulated.policy import SURFACES, Asked, Chosen, Menus, Policy, uniform
from sources.simulated.state import CLICK, CONVERSION, DISMISS, OPT_OUT, WEEK, Events, State, lapse, messages_of_week, withdraw
from sources.simulated.world import NO_NEED, Ints, World
from training.domain.nouns import Surface

HOUR_US = DAY_US // 24
CANCEL_DAILY = 0.002
"""Share of subscriptions that end on a day for no reason of ours."""
TOPIC_OF_NEED, TOPIC_OF_CHANCE = 0.16, 0.10
"""Share of visits that look at the topic of the member's need, and at any topic."""
_WEB, _APP, _OUTBOUND = (SURFACES.index(s) for s in (Surface.WEB, Surface.APP, Surface.OUTBOUND))


@dataclass(frozen=True)
class Decided:
    """The day's decisions, one a member at most: situation, what was asked (menu row, surface, instant), and what the policy answered."""

    situation: Situation
    asked: Asked
    chosen: Chosen

    @property
    def at(self) -> Ints:
        """Instant of each decision, us since 1970."""
        return self.asked.at


def simulate_day(world: World, members: Members, menus: Menus, before: State, policy: Policy = uniform) -> tuple[State, dict[str, pa.Table], pa.Table]:
    """The day after `before` under `policy`: its state, its raw rows by table, and what the truth must remember of its decisions."""
    day = before.day + 1
    members = members_on(world, members, day)
    rng = np.random.default_rng([world.seed, 100, day])
    due = _due(world, before.pending, day)
    state = _apply(world, before, before.pending.take(due), day)
    visits, at = _visits(rng, world, members, state, day)
    asked = _ask(rng, world, members, menus, state, (visits, at))
    chosen = policy(menus, asked)
    decided = Decided(Situation(asked.member, chosen.arm, asked.messages, asked.owned), asked, chosen)
    truth = chances(world, members, decided.situation)
    events = _events(rng, world, members, decided, truth, day)
    now = _due(world, events, day)
    happened = before.pending.take(due).plus(events.take(now))
    left = decided.situation.member[rng.random(len(decided.at)) < truth.lapsed]
    after = lapse(_apply(world, state, events.take(now), day), left)
    after, cancelled = _cancel(rng, after, left)
    messages = after.messages.copy()
    messages[day % WEEK] = 0
    messages[day % WEEK, decided.situation.member[decided.situation.arm != world.none]] = 1
    after = replace(after, day=day, messages=messages, pending=before.pending.take(~due).plus(events.take(~now)))
    tables = {
        "members": _member_rows(world, members, after, happened, day),
        "activity": rows.activity(world, day, _visited(rng, members, visits, at), _purchases(happened, after)),
        "subscriptions": rows.subscriptions(world, day, happened, cancelled, _renewals(after, day)),
        "decisions": rows.decisions(world, menus, day, decided.situation, decided.chosen, (decided.asked.menu, decided.asked.surface, decided.at)),
        "outcomes": rows.outcomes(world, day, happened, (decided.situation.member, decided.situation.arm, decided.at)),
    }
    return after, tables, rows.context(world, day, decided.situation)


def _due(world: World, events: Events, day: int) -> np.ndarray:
    return events.at < _midnight(world, day + 1)


def _midnight(world: World, day: int) -> int:
    return int(np.datetime64(world.day(day), "us").astype(np.int64))


def _apply(world: World, state: State, events: Events, day: int) -> State:
    """Withdrawn consents and begun subscriptions. Done before the day's decisions for what was pending, so that no consent is overrun."""
    outs = events.take(events.kind == OPT_OUT)
    consents = withdraw(state.consents, _channel_bits(world)[world.arm_channel[outs.arm]], outs.member)
    bought = events.take(events.kind == CONVERSION)
    since = state.since.copy()
    since[bought.product, bought.member] = np.where(since[bought.product, bought.member] < 0, day, since[bought.product, bought.member])
    return replace(state, consents=consents, since=since)


def _channel_bits(world: World) -> Ints:
    return np.array([*(consent_bit(world, k) for k in range(len(world.catalog.channels))), 0])


def _visits(rng: np.random.Generator, world: World, members: Members, state: State, day: int) -> tuple[Ints, Ints]:
    here = ~state.lapsed & (members.joined_day < day) & (rng.random(world.members) < members.visit)
    hour = np.clip(rng.normal(14.0, 4.0, world.members), 0.1, 23.8)
    visitors = np.flatnonzero(here)
    return visitors, _midnight(world, day) + (hour[visitors] * HOUR_US).astype(np.int64)


def _ask(rng: np.random.Generator, world: World, members: Members, menus: Menus, state: State, visits: tuple[Ints, Ints]) -> Asked:
    n, day = world.members, state.day + 1
    outbound_bits = sum(consent_bit(world, k) for k, c in enumerate(world.catalog.channels.values()) if c.surface is Surface.OUTBOUND)
    draws, hours = rng.random((4, n)), rng.uniform(9.0, 18.0, n)
    reachable = ~state.lapsed & (members.joined_day < day) & ((state.consents & outbound_bits) > 0)
    outbound = reachable & (draws[0] < world.rates.outbound)
    at = np.where(outbound, _midnight(world, day) + (hours * HOUR_US).astype(np.int64), 0)
    visitors, visited_at = visits
    asked = visitors[(draws[1, visitors] < world.rates.on_visit) & ~outbound[visitors]]
    at[visitors] = np.where(outbound[visitors], at[visitors], visited_at + 5_000_000 + (draws[3, visitors] * 200e6).astype(np.int64))
    surface = np.where(outbound, _OUTBOUND, np.where(draws[2] < members.app_share, _APP, _WEB))
    who = np.union1d(np.flatnonzero(outbound), asked)
    menu = menus.rows(surface[who], state.consents[who])
    return Asked(day, who, surface[who], menu, at[who], messages_of_week(state)[who], state.owned()[who], rng.random(n)[who])


def _events(rng: np.random.Generator, world: World, members: Members, decided: Decided, truth: Chances, day: int) -> Events:
    """All that will follow from the day's decisions. A conversion that a message causes begins with a click."""
    s, n = decided.situation, len(decided.at)
    u, organic, dislike, out = rng.random((4, n))
    click, effect = u < truth.clicked, u < truth.effect
    converted = effect | (organic < truth.organic)
    happened = (click, ~click & (dislike < truth.dismissed), converted, out < truth.opted_out)
    click_delay = np.minimum(rng.exponential(1.5 * HOUR_US, n), 23.9 * HOUR_US)
    buy_delay = np.where(effect, click_delay, 0.0) + np.minimum(rng.exponential(1.6 * DAY_US, n), 12.9 * DAY_US)
    delays = (click_delay, np.minimum(rng.exponential(0.5 * HOUR_US, n), 23 * HOUR_US), buy_delay, np.minimum(rng.exponential(1.0 * DAY_US, n), 6.9 * DAY_US))
    product = bought_product(world, members, s, effect)
    parts = [
        Events(
            np.full(int(hit.sum()), kind),
            s.member[hit],
            np.full(int(hit.sum()), day),
            s.arm[hit],
            product[hit] if kind == CONVERSION else np.full(int(hit.sum()), -1),
            decided.at[hit] + 1_000_000 + delay[hit].astype(np.int64),
        )
        for kind, hit, delay in zip((CLICK, DISMISS, CONVERSION, OPT_OUT), happened, delays, strict=True)
    ]
    return parts[0].plus(parts[1]).plus(parts[2]).plus(parts[3])


def _cancel(rng: np.random.Generator, state: State, left: Ints) -> tuple[State, tuple[Ints, Ints]]:
    """Subscriptions that end: those of members who left, and a few others. Returns (product, member) of each."""
    product, member = np.nonzero(state.since >= 0)
    ends = np.isin(member, left) | (rng.random(len(member)) < CANCEL_DAILY)
    since = state.since.copy()
    since[product[ends], member[ends]] = -1
    return replace(state, since=since), (product[ends], member[ends])


def _renewals(state: State, day: int) -> tuple[Ints, Ints]:
    product, member = np.nonzero((state.since >= 0) & (state.since < day))
    due = (day - state.since[product, member]) % 30 == 0
    return product[due], member[due]


def _visited(rng: np.random.Generator, members: Members, visitors: Ints, at: Ints) -> tuple[Ints, Ints, Ints]:
    """Visits with the topic looked at (-1: none; 0-3 the four topics): a need shows on some visits, and so does chance. All draws are before the decision."""
    u, v, pick = rng.random((3, len(visitors)))
    need = members.need[visitors]
    own = (need != NO_NEED) & (u < TOPIC_OF_NEED)
    other = v < TOPIC_OF_CHANCE
    topic = np.where(own, np.minimum(need, 3), np.where(other, (pick * 4).astype(np.int64), -1))
    return visitors, at, topic


def _purchases(happened: Events, state: State) -> tuple[Ints, Ints]:
    bought = happened.take(happened.kind == CONVERSION)
    stays = ~state.lapsed[bought.member]
    return bought.member[stays], bought.at[stays]


def _member_rows(world: World, members: Members, state: State, happened: Events, day: int) -> pa.Table:
    """New members as they came (on the first day all who signed up before it), and members whose consents changed, once a day each."""
    joined = np.flatnonzero(members.joined_day == day)
    new = np.concatenate([np.flatnonzero(members.joined_day < 0), joined]) if day == 0 else joined
    outs = happened.take(happened.kind == OPT_OUT)
    outs = outs.take(_channel_bits(world)[world.arm_channel[outs.arm]] > 0)
    order = np.lexsort((-outs.at, outs.member))
    changed, first = np.unique(outs.member[order], return_index=True)
    stamp = np.where(members.joined_day[new] < 0, _midnight(world, day), members.signup_us[new])
    who = np.concatenate([new, changed])
    consents = np.concatenate([members.consents[new], state.consents[changed]])
    return members_table(world, members, who, consents, np.concatenate([stamp, outs.at[order][first]]))
