"""From the expected sums of each day to the figures that are told, and to curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bench.curves import Curve, chart, save

Days = Sequence[Mapping[str, float]]
"""Expected sums (score.MEASURES) of each day."""
MEASURED = (
    "Expected values by the world's known chances, under each policy's own probabilities; no outcome is counted. conversion, revenue, opt_out, messages, "
    "utility: sums over all days for each member who was there when the policies took over (who leaves buys no more); retention: 1 - the expected share of "
    "them that is lost; *_per_decision: means over the decisions that were made. revenue is what conversions bring, by the catalog's values; utility is "
    "money too: revenue, members kept and opt-outs at the settings' prices, less costs. oracle_share: part of the oracle's gain over uniform."
)
OURS, SILOED, UNIFORM, ORACLE = "ours", "siloed", "uniform", "oracle"


def totals(days: Days, present: float) -> dict[str, float]:
    """The figures of one policy in one world of `present` members."""
    sums = {name: sum(day[name] for day in days) for name in days[0]}
    a_member = {name: sums[name] / present for name in ("conversion", "revenue", "opt_out", "messages", "utility", "decisions")}
    per = {f"{name}_per_decision": sums[name] / max(sums["decisions"], 1.0) for name in ("conversion", "revenue", "lapse", "opt_out", "messages", "utility")}
    return {"conversion": a_member.pop("conversion"), "retention": 1.0 - sums["lapse"] / present, **a_member, **per}


def compared(policies: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Ours against the siloed way (relative, but for retention), and ours' share of what the oracle gains over uniform."""
    ours, siloed = policies[OURS], policies[SILOED]
    return {
        "lift_over_siloed": ours["conversion"] / siloed["conversion"] - 1.0,
        "revenue_over_siloed": ours["revenue"] / siloed["revenue"] - 1.0,
        "retention_over_siloed": ours["retention"] - siloed["retention"],
        "oracle_share": share(policies, OURS, "utility"),
        "oracle_share_conversion": share(policies, OURS, "conversion"),
    }


def share(policies: Mapping[str, Mapping[str, float]], name: str, measure: str) -> float:
    """Share of the oracle's gain over uniform in `measure`; 0 where the oracle gains nothing."""
    low, high = policies[UNIFORM][measure], policies[ORACLE][measure]
    return (policies[name][measure] - low) / (high - low) if high != low else 0.0


def report(worlds: Sequence[tuple[int, float, Mapping[str, Days]]]) -> dict[str, Any]:
    """The JSON object, from (seed, members present, days of each policy). Means over seeds; comparisons are those of the means."""
    per_seed: list[dict[str, Any]] = []
    for seed, present, played in worlds:
        found = {name: totals(days, present) for name, days in played.items()}
        per_seed.append({"seed": seed, "members": int(present), "policies": _shared(found), **compared(found)})
    names = per_seed[0]["policies"]
    means = {n: {m: float(np.mean([w["policies"][n][m] for w in per_seed])) for m in totals(worlds[0][2][n], 1.0)} for n in names}
    return {"measured": MEASURED, "policies": _shared(means), "per_seed": per_seed, **compared(means)}


def _shared(policies: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {
        n: {**found, "oracle_share": share(policies, n, "utility"), "oracle_share_conversion": share(policies, n, "conversion")}
        for n, found in policies.items()
    }


def plots(worlds: Sequence[tuple[int, float, Mapping[str, Days]]], folder: Path) -> list[Path]:
    """Curves by day, means over seeds: utility and conversions so far for each member of the start, and the share of members kept."""
    titles = {"utility": "Money so far, per member", "conversion": "Conversions so far, per member", "lapse": "Members kept"}
    files = []
    for measure, title in titles.items():
        curves = {}
        for name in worlds[0][2]:
            daily = np.mean([[day[measure] / present for day in played[name]] for _, present, played in worlds], axis=0)
            y = 1.0 - np.cumsum(daily) if measure == "lapse" else np.cumsum(daily)
            curves[name] = Curve(list(range(1, len(y) + 1)), y.tolist())
        files.append(save(folder / f"world-{measure}.svg", chart(title, "day", f"{title} (expected)", curves)))
    return files


def table(found: Mapping[str, Any]) -> str:
    """The policies as a table for people."""
    head = f"{'policy':<10}{'conversion':>12}{'revenue':>10}{'retention':>11}{'opt-outs':>10}{'messages':>10}{'utility':>10}{'of oracle':>11}{'(conv.)':>9}"
    lines = [
        f"{n:<10}{p['conversion']:>12.4f}{p['revenue']:>10.2f}{p['retention']:>11.4f}{p['opt_out']:>10.4f}{p['messages']:>10.2f}{p['utility']:>10.2f}"
        f"{p['oracle_share']:>11.1%}{p['oracle_share_conversion']:>9.1%}"
        for n, p in found["policies"].items()
    ]
    last = (
        f"ours over siloed: conversion {found['lift_over_siloed']:+.1%}, revenue {found['revenue_over_siloed']:+.1%}, "
        f"retention {100 * found['retention_over_siloed']:+.1f} points; of the oracle's gain over uniform: {found['oracle_share']:.1%}"
    )
    return "\n".join([head, *lines, last, found["measured"]])
