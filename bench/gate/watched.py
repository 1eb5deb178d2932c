"""After the promotion: everyone against the holdback, looked at daily for half a year. False alarms, and days until harm is found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bench.gate.judged import DELAY, NEVER, RETAINED, Days, first_day, median, shown
from bench.gate.worlds import Random, Sizes, entering, rates
from training.evaluation.cohorts import difference

HOLDBACK = 0.1
DAYS = 180
HARM = 0.02
"""Points of retention whose loss the watch is planned to find soonest."""
STAYED, ACTIVE = 0.95, 0.60
"""Retained after 28 days, and active in days 1 to 7: the early proxy, known after 7 days, whose margin is four times as wide."""


def rollback(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """False alarms of a champion exactly at the margin, and of one that harms nobody; days from the promotion until harm of 1, 2 and 3 points is found."""
    sizes = replace(sizes, days=DAYS)
    at_margin, harmless = (_found(rng, sizes, harm) for harm in (RETAINED.margin, 0.0))
    days = {f"{100 * harm:g} points": _known(_found(rng, sizes, harm)) for harm in (0.01, 0.02, 0.03)}
    return {
        "false_alarm": float((at_margin < NEVER).mean()),
        "false_alarm_harmless": float((harmless < NEVER).mean()),
        "median_days": days[f"{100 * HARM:g} points"],
        "median_days_by_harm": days,
        "median_days_of_them_waiting_for_labels": DELAY["retained"],
        "early_proxy_median_days": _early(rng, sizes),
    }


def _found(rng: Random, sizes: Sizes, harm: float) -> Days:
    members = entering(sizes, 1.0 - HOLDBACK)
    found = difference(*rates(rng, sizes, members, (STAYED, STAYED - harm)))
    return first_day(shown(RETAINED, found, distance=HARM - RETAINED.margin).refuted)


def _known(days: Days) -> float | None:
    found = median(days)
    return None if found is None else found + DELAY["retained"]


def _early(rng: Random, sizes: Sizes) -> float | None:
    """A champion that drives away: 8 points less activity in the first week."""
    rule = replace(RETAINED, metric="active", margin=4 * RETAINED.margin)
    found = difference(*rates(rng, sizes, entering(sizes, 1.0 - HOLDBACK), (ACTIVE, ACTIVE - 0.08)))
    days = median(first_day(shown(rule, found, distance=0.06).refuted))
    return None if days is None else days + DELAY["opted_out"]
