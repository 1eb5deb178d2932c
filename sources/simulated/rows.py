"""The raw rows of one day, as Arrow tables. Ids are built from the day and the member, so that they never repeat."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sources.simulated.members import DAY_US, member_ids, times
from sources.simulated.outcomes import Situation
from sources.simulated.policy import SURFACES, Chosen, Menus, menu_columns
from sources.simulated.state import CONVERSION, KINDS, Events
from sources.simulated.world import Ints, World

TOPICS = ("jobs", "hiring", "business", "selling")
_IMPRESSION = len(KINDS)


def decisions(world: World, menus: Menus, day: int, s: Situation, chosen: Chosen, asked: tuple[Ints, Ints, Ints]) -> pa.Table:
    """Raw `decisions`; `asked` is (menu row, surface code, instant in us)."""
    menu, surface, at = asked
    columns = {
        "decision_id": decision_ids(world, np.full(len(at), day), s.member),
        "member_id": member_ids(s.member),
        "decided_at": times(at),
        "surface": pa.array([x.value for x in SURFACES]).take(pa.array(surface)),
        "chosen_arm": pa.array(world.arm_ids).take(pa.array(s.arm)),
        "propensity": pa.array(chosen.propensity),
        "assignment_group": pa.array([chosen.group]).take(pa.array(np.zeros(len(at), dtype=np.int64))),
    }
    return pa.table(columns | menu_columns(world, menus, menu, chosen.probabilities))


def outcomes(world: World, day: int, happened: Events, shown: tuple[Ints, Ints, Ints]) -> pa.Table:
    """Raw `outcomes`: impressions of the day's messages (`shown` is member, arm, instant), and whatever else fell on this day."""
    member, at = (x[shown[1] != world.none] for x in (shown[0], shown[2]))
    kind = np.concatenate([np.full(len(member), _IMPRESSION), happened.kind])
    decided = decision_ids(world, np.concatenate([np.full(len(member), day), happened.decision_day]), np.concatenate([member, happened.member]))
    prefix = pa.array([*(f"{k}-" for k in KINDS), "impression-"]).take(pa.array(kind))
    worth = np.append([p.value for p in world.catalog.products.values()], np.nan)
    value = np.concatenate([np.full(len(member), np.nan), worth[happened.product]])
    return pa.table(
        {
            "outcome_id": pc.binary_join_element_wise(prefix, decided, ""),
            "decision_id": decided,
            "kind": pa.array([*KINDS, "impression"]).take(pa.array(kind)),
            "value": pa.array(value, mask=np.isnan(value)),
            "occurred_at": times(np.concatenate([at + 500_000, happened.at])),
        }
    )


def activity(world: World, day: int, visited: tuple[Ints, Ints, Ints], bought: tuple[Ints, Ints]) -> pa.Table:
    """Raw `activity`: visits (member, instant, topic or -1), topics a few seconds later, and purchases (member, instant)."""
    who, at, topic = visited
    looked = topic >= 0
    member = np.concatenate([who, who[looked], bought[0]])
    kind = np.concatenate([np.full(len(who), 4), topic[looked], np.full(len(bought[0]), 5)])
    ids = pc.binary_join_element_wise(f"a{world.day(day):%Y%m%d}-", pa.array(np.arange(len(member))).cast(pa.string()), "")
    return pa.table(
        {
            "event_id": ids,
            "member_id": member_ids(member),
            "kind": pa.array([*TOPICS, "visit", "purchase"]).take(pa.array(kind)),
            "occurred_at": times(np.concatenate([at, at[looked] + 2_000_000, bought[1]])),
        }
    )


def subscriptions(world: World, day: int, happened: Events, cancelled: tuple[Ints, Ints], renewed: tuple[Ints, Ints]) -> pa.Table:
    """Raw `subscriptions`: started by a conversion at its instant, renewed at noon, cancelled at the end of the day; pairs are (product, member)."""
    bought = happened.take(happened.kind == CONVERSION)
    midnight = int(np.datetime64(world.day(day), "us").astype(np.int64))
    product = np.concatenate([bought.product, renewed[0], cancelled[0]])
    member = np.concatenate([bought.member, renewed[1], cancelled[1]])
    kind = np.repeat([0, 1, 2], [len(bought.product), len(renewed[0]), len(cancelled[0])])
    at = np.concatenate([bought.at, np.full(len(renewed[0]), midnight + DAY_US // 2), np.full(len(cancelled[0]), midnight + DAY_US - 1)])
    ids = pc.binary_join_element_wise(f"s{world.day(day):%Y%m%d}-", pa.array(np.arange(len(member))).cast(pa.string()), "")
    return pa.table(
        {
            "event_id": ids,
            "member_id": member_ids(member),
            "product_id": pa.array(world.product_ids).take(pa.array(product)),
            "kind": pa.array(["started", "renewed", "cancelled"]).take(pa.array(kind)),
            "occurred_at": times(at),
        }
    )


def context(world: World, day: int, s: Situation) -> pa.Table:
    """What the truth must remember of each decision: messages of the last week and products owned at that moment."""
    return pa.table(
        {
            "decision_id": decision_ids(world, np.full(len(s.member), day), s.member),
            "messages_7d": pa.array(s.messages),
            "owned": pa.array(s.owned),
        }
    )


def decision_ids(world: World, days: Ints, member: Ints) -> pa.Array:
    """`d20260105-0000017`: a member has at most one decision a day."""
    last = int(days.max()) if len(days) else 0
    prefix = pa.array([f"d{world.day(d):%Y%m%d}-" for d in range(last + 1)]).take(pa.array(days))
    return pc.binary_join_element_wise(prefix, pc.utf8_lpad(pa.array(member).cast(pa.string()), 7, "0"), "")
