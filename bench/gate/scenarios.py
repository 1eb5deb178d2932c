"""What the gate does with challengers of known truth. Each function draws its experiments and returns one part of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import stats

from bench.gate.judged import ALPHA, EFFECT, NEVER, RETAINED, RULES, Days, as_printed, first_day, median, rate, shown, z_test
from bench.gate.ramped import CONTROL, HOLDBACK, Arriving, Ended, Plan, played
from bench.gate.worlds import EVEN, RAMP, Pair, Random, Sizes, entering, pooled, predicted_rates, rates, week, with_money
from training.domain.labels import VALUE
from training.evaluation.assigned import ASSIGNED_ALPHA, log_bayes_factor
from training.evaluation.cohorts import Difference, Sums, difference
from training.evaluation.intervals import Floats
from training.evaluation.sequential import planned_error

BOUGHT, STAYED, LEFT, ANNOYED = 0.05, 0.95, 0.01, 0.17
"""Rates without treatment: converted, retained, opted out, dismissed something."""
CHEAPER = 0.7
MARGIN = RETAINED.margin
LABELS = 28
"""Looks go on until the last cohort's retention is mature."""
ROWS = 4
RISKS = (np.array([0.70, 0.97, 0.995]), np.array([0.12, 0.36, 0.52]))
"""Chance to stay of three kinds of members, and their shares: 95.05% together; predicting the kind explains 14% of the variance."""
SEVERAL = 3
"""Times as many members a day in a ramp as in one comparison of halves, whose first stage compares a fifth of them."""
RAMP_DAYS = 300
SOME, FEW = 4, 8
"""Parts of the experiments that lines of whole ramps get, as each has 300 days of looks; FEW with segments."""
PARTS = (1.0 / 6.0,) * 6


@dataclass(frozen=True)
class Truth:
    """What a challenger does to `lift` conversion and `harm` retention, by segment and day; and `base`, the retention without it, and `volume` by day. What
    its conversions bring is `worth` times what the champion's do.
    """

    lift: Floats | float = 0.0
    harm: Floats | float = 0.0
    base: Floats | float = STAYED
    volume: Floats | float = 1.0
    worth: float = 1.0


def ramped(rng: Random, sizes: Sizes, truth: Truth, plan: Plan) -> Ended:
    """Experiments of the whole rule through `plan`, with `sizes.daily` members a day of all groups."""
    shape = (max(1, len(plan.segments)), plan.days)

    def spread(value: Floats | float) -> Floats:
        return np.array(np.broadcast_to(value, shape), dtype=np.float64)

    base = spread(truth.base)
    chances = {
        "converted": (spread(BOUGHT), spread(BOUGHT + truth.lift)),
        "retained": (base, base - truth.harm),
        "opted_out": (spread(LEFT), spread(LEFT)),
        "dismissed": (spread(ANNOYED), spread(ANNOYED)),
    }
    daily = np.round(np.broadcast_to(np.asarray(truth.volume) * sizes.daily, (plan.days,))).astype(np.int64)
    return played(plan, sizes.experiments, Arriving(rng, plan.ramp, daily, chances, plan.segments or (1.0,), truth.worth))


def whole_ramp(sizes: Sizes, **more: Any) -> tuple[Sizes, Plan]:  # noqa: ANN401 - what `Plan` takes
    """Members and plan of the default ramp."""
    return replace(sizes, daily=SEVERAL * sizes.daily), Plan(RAMP, RAMP_DAYS, RAMP_DAYS, **more)


def halves(sizes: Sizes) -> tuple[Sizes, Plan]:
    """Members and plan of the last stage's whole rule alone, at one half from the first day on: as many compared as in the lines of single rules."""
    looks = sizes.days + LABELS
    return replace(sizes, daily=round(sizes.daily / (1.0 - HOLDBACK - CONTROL))), Plan((EVEN,), sizes.days, looks, longest=looks)


def promises(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """The whole rule, looked at daily, for challengers at the margin, without lift, harmful, and better by 1 point."""
    retention = difference(*rates(rng, sizes, entering(sizes), (STAYED, STAYED - MARGIN)))
    at_margin, some = Truth(0.03, MARGIN), replace(sizes, experiments=max(20, sizes.experiments // SOME))
    margin = ended(ramped(rng, *_with(whole_ramp(sizes), at_margin)))
    return {
        "false_promotion": {name: margin[name] for name in ("rate", "interval")},
        "ramp_at_the_margin": margin,
        "false_promotion_at_one_half": ended(ramped(rng, *_with(halves(sizes), at_margin))),
        "false_pass_of_retention": _at_margin(retention),
        "as_printed_false_pass": _share(first_day(as_printed(RETAINED, retention))),
        "false_promotion_without_lift": ended(ramped(rng, *_with(whole_ramp(some), Truth()))),
        **_neutral(rng, sizes),
        "power_one_point": ended(ramped(rng, *_with(whole_ramp(some), Truth(EFFECT)))),
        "power_one_point_cheaper": ended(ramped(rng, *_with(whole_ramp(some), Truth(EFFECT, worth=CHEAPER)))),
        "power_one_point_of_few_members": _few(rng, some),
        "power_one_point_at_one_half": _power(rng, sizes),
        "harm_of_0.8_points": ended(ramped(rng, *_with(whole_ramp(some), Truth(0.03, 0.008)))),
        "harm_of_2_points": ended(ramped(rng, *_with(whole_ramp(some), Truth(0.03, 0.02)))),
        "peeked_z_test_false_promotion": _share(first_day(z_test(RETAINED, retention))),
    }


def _with(setting: tuple[Sizes, Plan], truth: Truth) -> tuple[Sizes, Truth, Plan]:
    return setting[0], truth, setting[1]


def ended(found: Ended) -> dict[str, Any]:
    """Share promoted, rejected, and stopped since a stage held for too long; median days; share that came to each stage."""
    stages = [float((first < NEVER).mean()) for first in found.first]
    over = {name: _share(getattr(found, name)) for name in ("rejected", "stopped")}
    return rate(found.promoted < NEVER) | over | {"median_days": median(found.promoted), "median_days_rejected": median(found.rejected), "stages": stages}


def _few(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """A third of the members a day, with stages that may hold for the default time and for twice as long."""
    (_, plan), found = whole_ramp(sizes), {}
    for name, longest in (("default", plan.longest), ("twice_as_long", 2 * plan.longest)):
        found[name] = ended(ramped(rng, sizes, Truth(EFFECT), replace(plan, longest=longest)))
    return found


def _power(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """Of the whole rule at one half, and of each rule by itself."""
    members = entering(sizes)
    sold = (BOUGHT, BOUGHT + EFFECT)
    chances = {"converted": sold, "retained": (STAYED, STAYED), "opted_out": (LEFT, LEFT), "dismissed": (ANNOYED, ANNOYED), VALUE: sold}
    alone = {}
    for rule, distance in RULES:
        groups = rates(rng, sizes, members, chances[rule.metric])
        found = difference(*(with_money(rng, group) if rule.metric == VALUE else group for group in groups))
        alone[rule.metric] = float(shown(rule, found, distance=distance).passed.any(axis=1).mean())
    return ended(ramped(rng, *_with(halves(sizes), Truth(EFFECT)))) | {"of_each_rule": alone}


def _share(days: Days) -> float:
    return float((days < NEVER).mean())


def _neutral(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """How often and when a challenger without harm passes the retention rule, with predictions beside; and the time of other ways to decide."""
    pairs, members = sizes.daily // 2, entering(sizes)
    found = difference(*rates(rng, sizes, members, (STAYED, STAYED)))
    plain = first_day(shown(RETAINED, found).passed)
    printed = first_day(as_printed(RETAINED, found))
    with_x = first_day(shown(RETAINED, difference(*(predicted_rates(rng, sizes, n, RISKS, 0.0) for n in members))).passed)
    fixed = 2.0 * STAYED * (1.0 - STAYED) / planned_error(MARGIN, ALPHA, min(_share(plain), 0.999)) ** 2
    return {
        "neutral_pass": rate(plain < NEVER) | {"median_pairs": _times(median(plain), pairs)},
        "neutral_pass_with_predictions": rate(with_x < NEVER) | {"median_pairs": _times(median(with_x), pairs)},
        "as_printed_neutral_pass": {"rate": _share(printed), "median_pairs": _times(median(printed), pairs)},
        "time_to_decision": {
            "gate_median_days": _plus(median(plain), LABELS),
            "fixed_n_days": float(np.ceil(fixed / pairs)) + LABELS,
            "peeked_z_test_median_days": _plus(median(first_day(z_test(RETAINED, found))), LABELS),
        },
    }


def _times(days: float | None, pairs: int) -> float | None:
    return None if days is None else days * pairs


def seasons(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """Promotions at the margin, through the whole ramp, where the world does not stand still."""
    many, plan = whole_ramp(replace(sizes, experiments=max(20, sizes.experiments // SOME)))
    gone = 0.05 * np.arange(plan.days) / sizes.days
    falling, rising = STAYED - np.minimum(gone, 0.05), STAYED - 0.05 + np.minimum(gone, 0.05)
    swing = STAYED - 0.02 * (week(plan.days, 1.0) - 1.0)
    worlds = {"falling": Truth(0.03, MARGIN, falling), "rising": Truth(0.03, MARGIN, rising), "weekly": Truth(0.03, MARGIN, swing, week(plan.days, 0.3))}
    return {name: ended(ramped(rng, many, truth, plan)) for name, truth in worlds.items()} | {"rising_pooled": _pooled_ramp(rng, sizes)}


def _pooled_ramp(rng: Random, sizes: Sizes) -> float:
    """Share that passes the retention rule at the margin in a ramp of 30 days a stage, were all members so far compared as one while retention rises."""
    days = np.arange(sizes.days)
    share = np.asarray(RAMP)[np.minimum(days * len(RAMP) // sizes.days, len(RAMP) - 1)]
    rising = STAYED - 0.05 + 0.05 * days / sizes.days
    found = difference(*pooled(rates(rng, sizes, entering(sizes, share), (rising, rising - MARGIN))))
    looks = Difference(*(getattr(found, name)[..., 0] for name in ("value", "error", "control", "treatment")))
    return _share(first_day(shown(RETAINED, looks).passed))


def _at_margin(found: Difference) -> dict[str, Any]:
    return rate(first_day(shown(RETAINED, found).passed) < NEVER)


def novelty(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """+3 points of conversion that halve each week, so nothing lasts: the gate judges the mean over cohorts. What bounds it is the watch."""
    some, plan = whole_ramp(replace(sizes, experiments=max(20, sizes.experiments // SOME)))
    lift = 0.03 * 0.5 ** (np.arange(plan.days) / 7.0)
    return {"ramp": ended(ramped(rng, some, Truth(lift), plan)), "at_one_half": ended(ramped(rng, *_with(halves(sizes), Truth(lift[: sizes.days]))))}


def dependence(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """Four rows a member, half of whom answer alike in all four, at the margin: members counted once, and rows taken as independent."""
    groups = [_answers(rng, sizes, chance) for chance in (STAYED, STAYED - MARGIN)]
    by_row = shown(RETAINED, difference(*(group[1] for group in groups))).passed.any(axis=1)
    return {"by_member": _at_margin(difference(*(group[0] for group in groups))), "by_row": float(by_row.mean())}


def _answers(rng: Random, sizes: Sizes, chance: float) -> Pair:
    """The same rows (by member, by row)."""
    hits, members = np.arange(ROWS + 1.0), sizes.daily // 2
    law = 0.5 * stats.binom.pmf(hits, ROWS, chance) + 0.5 * np.where(hits == 0, 1.0 - chance, np.where(hits == ROWS, chance, 0.0))
    found = rng.multinomial(members, law, sizes.shape()).astype(np.float64)
    n, y = np.full(sizes.shape(), float(members)), found @ hits
    return Sums(n, y / ROWS, found @ np.square(hits / ROWS)), Sums(ROWS * n, y, y)


def segments(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """Through the whole ramp, with six equal segments: one loses 4 points of retention and the others gain 1, so that the mean is fine; and six to whom
    nothing happens. Both sell better. Beside it what the rule says without segments.
    """
    few = replace(sizes, experiments=max(20, sizes.experiments // FEW))
    found = {"one_harmed": _segmented(rng, few, [0.04, *[-0.01] * 5]), "none_harmed": _segmented(rng, few, [0.0] * 6)}
    members, plan = whole_ramp(few, segments=PARTS)
    found["none_harmed_twice_as_long"] = ended(ramped(rng, members, Truth(0.03), replace(plan, longest=2 * plan.longest)))
    return found


def _segmented(rng: Random, sizes: Sizes, harm: Sequence[float]) -> dict[str, Any]:
    apart = ended(ramped(rng, *_with(whole_ramp(sizes, segments=PARTS), Truth(0.03, np.array(harm)[:, None]))))
    together = ended(ramped(rng, *_with(whole_ramp(sizes), Truth(0.03, float(np.mean(harm))))))
    return {**apart, "promoted_by_the_mean_alone": together["rate"]}


def splits(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """The sample-ratio test, daily: false stops of a fair split, and days until 2% and 5% lost from treatment are found."""
    out: dict[str, Any] = {}
    for name, kept in (("fair", 1.0), ("lost_2_percent", 0.98), ("lost_5_percent", 0.95)):
        treated = rng.binomial(sizes.daily, EVEN * kept / (EVEN + EVEN * kept), sizes.shape()).cumsum(axis=1)
        counts = np.stack([sizes.daily * np.arange(1, sizes.days + 1) - treated, treated], axis=-1)
        stopped = first_day(log_bayes_factor(counts, np.array([EVEN, EVEN])) >= np.log(1.0 / ASSIGNED_ALPHA))
        out[name] = {"stopped": float((stopped < NEVER).mean()), "median_days": median(stopped)}
    return out


def _plus(days: float | None, more: int) -> float | None:
    return None if days is None else days + more
