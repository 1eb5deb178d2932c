"""After the promotion: everyone against the holdback, looked at daily by what became of all of them. False alarms, and days until harm is found.

Each day members come for the first time since the promotion, the holdback's and the champion's, and some leave in each period of 28 days; the gap after each
period has its own sequence, as the step `watch` has it (a test plays the same members through the step). Beside it, what is found where only those are
compared who come again, one row a member and period: who stays with a champion that drives members away is hardier, so its harm fades.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bench.gate.judged import ALPHA, NEVER, OPTED_OUT, RETAINED, Days, first_day, median, rate, shown, wait
from bench.gate.worlds import Random, Sizes, entering, rates
from training.domain.rules import Rule
from training.evaluation.cohorts import Sums, difference
from training.evaluation.intervals import Floats
from training.evaluation.looks import Measured, Role, bounds, levels
from training.evaluation.watched import HARM, PERIOD, level, spent

HOLDBACK = 0.05
LOOKS = 270
PERIODS = LOOKS // PERIOD
STAYED, ACTIVE, LEFT = 0.95, 0.60, 0.01
"""Retained after 28 days; active in days 1 to 14, the early proxy, whose margin is four times as wide; opted out in 7."""
PROXIES = 3
"""Early proxies of the settings, which share alpha."""
FRAGILE = ((0.1, 0.77), (0.9, 0.97))
"""(Share, chance to stay) of fragile and other members: 95% together."""
AT_ONCE, ONE = 250, 0.01
Alive = tuple[Floats, Floats]
"""Members of (holdback, champion) by entry day who are there after 0, 1, ... periods [experiments, days, periods + 1]."""


@dataclass(frozen=True)
class Leaving:
    """Kinds of members: their shares, and their chances to stay through each period [kinds, periods], without and with the champion."""

    shares: Sequence[float]
    without: Floats
    champion: Floats


def lost_once(harm: float) -> Leaving:
    """`harm` fewer are there after the first period, and as many fewer after each later one."""
    there = STAYED ** np.arange(PERIODS + 1)
    less = there - np.append(0.0, np.full(PERIODS, harm))
    return Leaving((1.0,), (there[1:] / there[:-1])[None], (less[1:] / less[:-1])[None])


def each_period(harm: float, since: int = 1) -> Leaving:
    """`harm` fewer of those who are there stay through each period, from the period `since` on."""
    stay = np.full((1, PERIODS), STAYED)
    return Leaving((1.0,), stay, stay - harm * (np.arange(1, PERIODS + 1) >= since))


def of_the_fragile(harm: float) -> Leaving:
    """`harm` fewer of all are there after the first period, all of them fragile ones, who are as likely to leave in each later period."""
    shares, stay = zip(*FRAGILE, strict=True)
    without = np.repeat(np.array(stay)[:, None], PERIODS, axis=1)
    return Leaving(shares, without, without - np.array([[harm / shares[0]], [0.0]]))


def alive(rng: Random, experiments: int, daily: tuple[int, int], leaving: Leaving) -> Alive:
    """Drawn for `daily` members of (holdback, champion) who come for the first time on each of LOOKS days."""
    found = []
    for members, chances in zip(daily, (leaving.without, leaving.champion), strict=True):
        kinds = np.moveaxis(rng.multinomial(members, leaving.shares, (experiments, LOOKS)), -1, 0)
        there = np.empty((experiments, LOOKS, PERIODS + 1))
        there[..., 0] = members
        for period in range(PERIODS):
            kinds = rng.binomial(kinds, chances[:, period, None, None])
            there[..., period + 1] = kinds.sum(axis=0)
        found.append(there)
    return found[0], found[1]


def opted(rng: Random, members: Alive) -> Alive:
    """Members who have opted out by each period, the first being 0: one in a hundred of those who are there and had not, in both groups alike."""
    found = []
    for there in members:
        out = np.zeros_like(there)
        for period in range(1, PERIODS + 1):
            open_ = np.minimum(there[..., period - 1], there[..., 0] - out[..., period - 1])
            out[..., period] = out[..., period - 1] + rng.binomial(open_.astype(np.int64), LEFT)
        found.append(out)
    return found[0], found[1]


def alarm(rule: Rule, members: Alive, hits: Alive, alpha: float) -> Days:
    """Day [experiments] since the promotion, from 1, on which the watch finds harm by `rule`; `hits` of all `members` as counted after each period."""
    found = np.full(len(hits[0]), NEVER)
    for period in range(1, PERIODS + 1):
        groups = (Sums(n[..., 0], y[..., period], y[..., period]) for n, y in zip(members, hits, strict=True))
        role = Role.FINAL if period == 1 else Role.LATER
        measured = Measured(rule, 0.0, 0.0, (0, 0), HARM * rule.margin, role, level=level(period))
        day = first_day(bounds(measured, difference(*groups), levels(measured, alpha, 1)).refuted) + (period - 1) * PERIOD + wait(rule.metric)
        found = np.minimum(found, np.where(day <= LOOKS, day, NEVER))
    return found


def coming_again(members: Alive, alpha: float) -> Days:
    """The same where only those count in a period who were there after the one before."""
    known = np.add.outer(np.arange(1, LOOKS + 1), PERIOD * np.arange(1, PERIODS + 1)).ravel()
    order = np.argsort(known, kind="stable")
    n, y = ([group[..., part].reshape(len(group), -1)[:, order] for group in members] for part in (slice(0, -1), slice(1, None)))
    refuted = shown(RETAINED, difference(*(Sums(a, b, b) for a, b in zip(n, y, strict=True))), alpha, HARM * RETAINED.margin).refuted
    day = np.where(refuted.any(axis=1), known[order][refuted.argmax(axis=1)], NEVER)
    return np.where(day <= LOOKS, day, NEVER)


def rollback(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """The first watch of a ledger, with the alpha that it has: false alarms of a champion exactly at the margin and of one that harms nobody, and days until
    harm is found, by what it does to whom.
    """
    held, alpha = round(sizes.daily / 10), spent(ALPHA, 1)
    some = replace(sizes, experiments=max(20, sizes.experiments // 4))
    at_margin, harmless = (_alarms(rng, sizes.experiments, held, lost_once(harm), alpha) for harm in (RETAINED.margin, 0.0))
    whole = _alarms(rng, some.experiments, held, lost_once(RETAINED.margin), ALPHA)
    worlds = {f"{_points(harm)} once": lost_once(harm) for harm in (0.01, 0.02, 0.03)}
    worlds |= {f"{_points(harm)} each period": each_period(harm) for harm in (0.005, 0.01, 0.02)}
    worlds |= {f"{_points(0.02)} each period from the fourth": each_period(0.02, 4)}
    worlds |= {f"{_points(harm)} once, all fragile": of_the_fragile(harm) for harm in (0.01, 0.02)}
    found = {name: _both(rng, some.experiments, held, leaving, alpha) for name, leaving in worlds.items()}
    return {
        "false_alarm": float((at_margin < NEVER).mean()),
        "false_alarm_interval": rate(at_margin < NEVER)["interval"],
        "false_alarm_harmless": float((harmless < NEVER).mean()),
        "false_alarm_at_alpha": float((whole < NEVER).mean()),
        "median_days": found["2 points once"]["all"]["median_days"],
        "by_harm": found,
        "fading": fading(of_the_fragile(0.02)),
        "by_holdback": _by_holdback(rng, some.experiments, held, alpha),
        "holdback_a_day": held,
        "alpha": alpha,
        "days": LOOKS,
        "early_proxy_median_days": _early(rng, some, held, alpha),
    }


def _points(harm: float) -> str:
    return f"{100 * harm:g} point{'' if harm == ONE else 's'}"


def champions(held: int) -> int:
    """Members a day of the champion beside `held` of the holdback."""
    return round(held * (1.0 - HOLDBACK) / HOLDBACK)


def _alarms(rng: Random, experiments: int, held: int, leaving: Leaving, alpha: float) -> Days:
    """Of both guardrails."""
    days = []
    for begin in range(0, experiments, AT_ONCE):
        members = alive(rng, min(AT_ONCE, experiments - begin), (held, champions(held)), leaving)
        days.append(np.minimum(alarm(RETAINED, members, members, alpha), alarm(OPTED_OUT, members, opted(rng, members), alpha)))
    return np.concatenate(days)


def _both(rng: Random, experiments: int, held: int, leaving: Leaving, alpha: float) -> dict[str, Mapping[str, float | None]]:
    """By retention, of all members and of those who come again: share found, and the median day of all."""
    days: dict[str, list[Days]] = {"all": [], "coming_again": []}
    for begin in range(0, experiments, AT_ONCE):
        members = alive(rng, min(AT_ONCE, experiments - begin), (held, champions(held)), leaving)
        days["all"].append(alarm(RETAINED, members, members, alpha))
        days["coming_again"].append(coming_again(members, alpha))
    whole = {name: np.concatenate(parts) for name, parts in days.items()}
    return {name: {"found": float((day < NEVER).mean()), "median_days": median(day)} for name, day in whole.items()}


def fading(leaving: Leaving) -> dict[str, list[float]]:
    """The true gap after each period, of all members and of those who came again, in the rate that each way estimates."""
    shares = np.array(leaving.shares)[:, None]
    there = [shares * np.cumprod(np.concatenate([np.ones_like(shares), chances], axis=1), axis=1) for chances in (leaving.without, leaving.champion)]
    alive_ = [kinds.sum(axis=0) for kinds in there]
    again = [kinds[1:] / kinds[:-1] for kinds in alive_]
    return {"all": (alive_[1] - alive_[0])[1:].tolist(), "coming_again": (again[1] - again[0]).tolist()}


def _by_holdback(rng: Random, experiments: int, held: int, alpha: float) -> dict[str, Mapping[str, float | None]]:
    """1 point lost once, by members a day who come to the holdback."""
    return {str(times * held): _both(rng, max(20, experiments // times), times * held, lost_once(0.01), alpha)["all"] for times in (1, 2, 4, 8)}


def _early(rng: Random, sizes: Sizes, held: int, alpha: float) -> float | None:
    """A champion that drives away: 8 points less activity in the first two weeks."""
    rule = replace(RETAINED, metric="visited", margin=4 * RETAINED.margin)
    members = entering(replace(sizes, days=LOOKS, daily=round(held / HOLDBACK)), 1.0 - HOLDBACK)
    found = difference(*rates(rng, replace(sizes, days=LOOKS), members, (ACTIVE, ACTIVE - 0.08)))
    days = median(first_day(shown(rule, found, alpha / PROXIES, HARM * rule.margin).refuted))
    return None if days is None else days - 1 + wait(rule.metric)
