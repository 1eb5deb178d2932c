"""What a played day came to: what was shown and what followed, and by the known truth what was to be expected of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sources.simulated.members import Members, consent_bit, members_on
from sources.simulated.outcomes import Situation, chances
from sources.simulated.play_stage import Stage, Today
from sources.simulated.policy import Asked
from sources.simulated.state import OPT_OUT, State, withdraw
from sources.simulated.world import World
from training.domain.served import Reason

DRAWN = (Reason.CHAMPION.value, Reason.CONTROL.value)
"""Reasons of decisions that somebody drew."""


@dataclass(frozen=True)
class Day:
    """One day. `expected` is the mean P(convert) of what was shown by the known truth, `uniform` that of the logging policy in the same situations.

    `overrun` counts messages that the member had not agreed to, or on another surface: 0 unless the service errs.
    """

    day: str
    asked: int
    shown: int
    clicks: int
    conversions: int
    opt_outs: int
    expected: float
    uniform: float
    fallbacks: float
    reasons: dict[str, int]
    models: dict[str, int]
    overrun: int
    seconds: float


def summary(stage: Stage, before: State, today: Today, outcomes: pa.Table, seconds: float) -> Day:
    """The figures of one day; `outcomes` are those that fell on it, whenever they were caused."""
    world, asked = stage.world, today.asked
    now = members_on(world, stage.members, asked.day)
    answers = [today.answers[row] for row in range(len(asked.at))]
    index = {name: k for k, name in enumerate(world.arm_ids)}
    arm = np.array([index[a.arm] for a in answers], dtype=np.int64)
    kinds, reasons = Counter(outcomes["kind"].to_pylist()), Counter(a.reason for a in answers)
    return Day(
        day=world.day(asked.day).isoformat(),
        asked=len(arm),
        shown=int((arm != world.none).sum()),
        clicks=kinds["click"],
        conversions=kinds["conversion"],
        opt_outs=kinds["opt_out"],
        expected=_mean(chances(world, now, Situation(asked.member, arm, asked.messages, asked.owned)).converted),
        uniform=_uniform(world, now, stage.menus.arms[asked.menu], asked),
        fallbacks=round(1.0 - sum(reasons[reason] for reason in DRAWN) / max(1, len(arm)), 4),
        reasons=dict(reasons),
        models=dict(Counter(a.model_version or "none" for a in answers)),
        overrun=int((~(_allowed(stage, before, asked) == arm[:, None]).any(axis=1)).sum()),
        seconds=round(seconds, 2),
    )


def _allowed(stage: Stage, before: State, asked: Asked) -> np.ndarray:
    """Arms that each member had agreed to at the instant of the question: opt-outs that came later on the day do not count yet."""
    at = np.full(stage.world.members, -1)
    at[asked.member] = asked.at
    outs = before.pending.take((before.pending.kind == OPT_OUT) & (before.pending.at < at[before.pending.member]))
    bits = np.array([*(consent_bit(stage.world, k) for k in range(len(stage.world.catalog.channels))), 0])
    consents = withdraw(before.consents, bits[stage.world.arm_channel[outs.arm]], outs.member)
    allowed: np.ndarray = stage.menus.arms[stage.menus.rows(asked.surface, consents[asked.member])]
    return allowed


def _uniform(world: World, members: Members, arms: np.ndarray, asked: Asked) -> float:
    """Mean P(convert) of a policy that gives every arm of a menu the same probability."""
    width, feasible = arms.shape[1], arms >= 0
    flat = np.where(feasible, arms, world.none).ravel()
    each = chances(world, members, Situation(np.repeat(asked.member, width), flat, np.repeat(asked.messages, width), np.repeat(asked.owned, width)))
    converted = np.where(feasible, each.converted.reshape(arms.shape), 0.0)
    return _mean(converted.sum(axis=1) / feasible.sum(axis=1))


def _mean(values: np.ndarray) -> float:
    return round(float(values.mean()), 6) if len(values) else 0.0
