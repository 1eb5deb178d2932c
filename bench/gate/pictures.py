"""What peeking does, what a confidence sequence looks like, and what the watch sees, as SVG."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.curves import Curve, chart, save
from bench.gate.judged import ALPHA, RETAINED, Flags, half_width, shown, z_test
from bench.gate.scenarios import MARGIN, STAYED
from bench.gate.watched import LOOKS, alarm, alive, champions, coming_again, of_the_fragile
from bench.gate.worlds import Random, Sizes, entering, rates
from training.evaluation.cohorts import difference
from training.evaluation.sequential import planned_error
from training.evaluation.watched import spent


def peeking(rng: Random, sizes: Sizes, out: Path) -> Path:
    """Share of experiments that have passed the retention rule, by pairs of members: at the margin (falsely) and without harm (rightly)."""
    curves: dict[str, Curve] = {}
    for truth, harm in (("at the margin", -MARGIN), ("no harm", 0.0)):
        found = difference(*rates(rng, sizes, entering(sizes), (STAYED, STAYED + harm)))
        for way, flags in (("gate", shown(RETAINED, found).passed), ("z-test", z_test(RETAINED, found))):
            curves[f"{way}, {truth}"] = _share(flags, sizes)
    return save(out / "gate-peeking.svg", chart("Passed so far when looked at daily", "pairs of members", "share of experiments", curves))


def watching(rng: Random, sizes: Sizes, out: Path) -> Path:
    """Share of watches that have found the loss of 1 point of all members, the fragile ones, by day: of all members, and of those who come again."""
    held, alpha, leaving = round(sizes.daily / 10), spent(ALPHA, 1), of_the_fragile(0.01)
    members = alive(rng, min(sizes.experiments, 1000), (held, champions(held)), leaving)
    curves: dict[str, Curve] = {}
    for way, found in (("all members", alarm(RETAINED, members, members, alpha)), ("who come again", coming_again(members, alpha))):
        days = np.arange(1, LOOKS + 1)
        curves[way] = Curve(days.astype(float).tolist(), (found[None, :] <= days[:, None]).mean(axis=1).tolist())
    return save(
        out / "gate-watch.svg", chart("1 point of members lost, fragile ones: found by the watch", "days since the promotion", "share of watches", curves)
    )


def _share(flags: Flags, sizes: Sizes) -> Curve:
    passed = np.logical_or.accumulate(flags, axis=1).mean(axis=0)
    return Curve([float(sizes.daily // 2 * day) for day in range(1, sizes.days + 1)], passed.tolist())


def sequence_of_one(rng: Random, out: Path) -> Path:
    """One experiment without harm: the difference of retention, its sequence, and the margin that its lower end has to pass."""
    sizes = Sizes(1, 60, 1000)
    found = difference(*rates(rng, sizes, entering(sizes), (STAYED, STAYED)))
    half = half_width(found, planned_error(MARGIN, ALPHA))[0]
    known = np.isfinite(half)
    x = (500.0 * np.arange(1, sizes.days + 1))[known].tolist()
    curves = {
        "difference (points)": Curve(x, (100 * found.value[0][known]).tolist(), (100 * half[known]).tolist()),
        "margin": Curve(x, [-100 * MARGIN] * len(x)),
        "no difference": Curve(x, [0.0] * len(x)),
    }
    return save(out / "gate-sequence.svg", chart("Retention, challenger minus champion, at every look", "pairs of members", "percentage points", curves))
