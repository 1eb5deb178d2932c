"""What the gate does with challengers of known truth. Each function draws its experiments and returns one part of the report."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import stats

from bench.gate.judged import ALPHA, EFFECT, NEVER, RETAINED, RULES, Days, Shown, as_printed, first_day, half_width, median, rate, shown, verdicts, z_test
from bench.gate.worlds import EVEN, RAMP, Pair, Random, Sizes, entering, pooled, predicted_rates, rates, week
from training.evaluation.assigned import ASSIGNED_ALPHA, log_bayes_factor
from training.evaluation.cohorts import Difference, Sums, difference
from training.evaluation.intervals import Floats
from training.evaluation.sequential import planned_error, radius, refuting

BOUGHT, STAYED, LEFT = 0.05, 0.95, 0.01
"""Rates without treatment: converted, retained, opted out."""
MARGIN = RETAINED.margin
LABELS = 28
"""Looks go on until the last cohort's retention is mature."""
ROWS = 4
RISKS = (np.array([0.70, 0.97, 0.995]), np.array([0.12, 0.36, 0.52]))
"""Chance to stay of three kinds of members, and their shares: 95.05% together; predicting the kind explains 14% of the variance."""


def challenger(rng: Random, sizes: Sizes, lift: Floats | float, harm: Floats | float, base: Floats | float = STAYED) -> dict[str, Pair]:
    """The three metrics of a challenger that adds `lift` to conversion and `harm` to retention."""
    members = entering(sizes)
    return {
        "converted": rates(rng, sizes, members, (BOUGHT, BOUGHT + lift)),
        "retained": rates(rng, sizes, members, (base, base + harm)),
        "opted_out": rates(rng, sizes, members, (LEFT, LEFT)),
    }


def promises(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """The whole rule, looked at daily, for challengers at the margin, without lift, harmful by 0.8 points, and better by 1 point."""
    looks = sizes.days + LABELS
    at_margin = challenger(rng, sizes, 0.03, -MARGIN)
    without_lift, _ = verdicts(challenger(rng, sizes, 0.0, 0.0), looks)
    harmful = verdicts(challenger(rng, sizes, 0.03, -0.008), looks)
    retention = difference(*at_margin["retained"])
    return {
        "false_promotion": rate(verdicts(at_margin, looks)[0] < NEVER),
        "false_pass_of_retention": _at_margin(retention),
        "as_printed_false_pass": _share(first_day(as_printed(RETAINED, retention))),
        "false_promotion_without_lift": rate(without_lift < NEVER),
        **_neutral(rng, sizes),
        "power_one_point": _power(challenger(rng, sizes, EFFECT, 0.0), looks),
        "harm_of_0.8_points": {"promoted": _share(harmful[0]), "rejected": _share(harmful[1])},
        "peeked_z_test_false_promotion": _share(first_day(z_test(RETAINED, retention))),
    }


def _power(metrics: dict[str, Pair], looks: int) -> dict[str, Any]:
    """Of the whole rule, and of each rule by itself."""
    promoted, rejected = verdicts(metrics, looks)
    alone = {r.metric: float(shown(r, difference(*metrics[r.metric]), distance=d).passed.any(axis=1).mean()) for r, d in RULES}
    return rate(promoted < NEVER) | {"median_days": median(promoted), "rejected": _share(rejected), "of_each_rule": alone}


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
    """False promotions at the margin where the world does not stand still."""
    days = np.arange(sizes.days)
    falling = STAYED - 0.05 * days / sizes.days
    weekly = STAYED - 0.02 * (week(sizes.days, 1.0) - 1.0)
    share = np.asarray(RAMP)[np.minimum(days * len(RAMP) // sizes.days, len(RAMP) - 1)]
    busy = entering(sizes, volume=week(sizes.days, 0.3))
    ramped = rates(rng, sizes, entering(sizes, share), (falling, falling - MARGIN))
    rising = rates(rng, sizes, entering(sizes, share), (0.90 + 0.05 * days / sizes.days, 0.90 - MARGIN + 0.05 * days / sizes.days))
    return {
        "drift": _at_margin(difference(*rates(rng, sizes, entering(sizes), (falling, falling - MARGIN)))),
        "weekly": _at_margin(difference(*rates(rng, sizes, busy, (weekly, weekly - MARGIN)))),
        "ramp_with_drift": {**_at_margin(difference(*ramped)), "rising": _at_margin(difference(*rising))["rate"], "rising_pooled": _pooled(rising)},
    }


def _at_margin(found: Difference) -> dict[str, Any]:
    return rate(first_day(shown(RETAINED, found).passed) < NEVER)


def _pooled(pair: Pair) -> float:
    """Share that passes when all members so far are compared as one, whatever share was treated when they came."""
    found = difference(*pooled(pair))
    looks = Difference(*(getattr(found, name)[..., 0] for name in ("value", "error", "control", "treatment")))
    return _share(first_day(shown(RETAINED, looks).passed))


def novelty(rng: Random, sizes: Sizes) -> dict[str, Any]:
    """+3 points of conversion that halve each week, so nothing lasts: the gate judges the mean over cohorts, and so promotes. What bounds it is the watch."""
    lift = 0.03 * 0.5 ** (np.arange(sizes.days) / 7.0)
    promoted, _ = verdicts(challenger(rng, sizes, lift, 0.0), sizes.days + LABELS)
    return {**rate(promoted < NEVER), "median_days": median(promoted)}


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
    """Six equal segments: one loses 4 points of retention and the others gain 1, so that the mean is fine; and six to whom nothing happens."""
    hidden, harmless = (_segmented(rng, sizes, harm) for harm in ([-0.04, *[0.01] * 5], [0.0] * 6))
    return {"one_harmed": hidden, "none_harmed": harmless}


def _segmented(rng: Random, sizes: Sizes, harm: list[float]) -> dict[str, Any]:
    share = 1.0 / len(harm)
    part = Sizes(sizes.experiments, sizes.days, round(sizes.daily * share))
    drawn = [rates(rng, part, entering(part), (STAYED, STAYED + h)) for h in harm]
    whole = difference(*(Sums(*(sum(getattr(pair[g], name) for pair in drawn) for name in ("n", "y", "yy"))) for g in (0, 1)))
    mean = shown(RETAINED, whole)
    parts = [_part(difference(*pair), share, len(harm)) for pair in drawn]
    stopped = first_day(np.logical_or.reduce([mean.refuted, *(p.refuted for p in parts)]))
    promoted = first_day(np.logical_and.reduce([mean.passed, *(p.passed for p in parts)]))
    return {"promoted_by_the_mean_alone": _share(first_day(mean.passed)), "promoted": float((promoted < stopped).mean()), "rejected": _share(stopped)}


def _part(found: Difference, share: float, count: int) -> Shown:
    """One of `count` segments of that `share`, as `looks.interval` judges it."""
    wider = np.sqrt(share)
    half, other = (half_width(found, planned_error(MARGIN, a) / wider, a, of) for a, of in ((ALPHA, radius), (ALPHA / count, refuting)))
    return Shown(found.value - half > -MARGIN / wider, found.value + other < -MARGIN)


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
