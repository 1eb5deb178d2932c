"""The figures as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Found = Mapping[str, Any]


def table(found: Found) -> str:
    """One line a measurement."""
    setting = found["setting"]
    size = f"{setting['experiments']:,} experiments a line, {setting['members_a_day']:,} members a day for {setting['days']} days"
    head = f"{size}, looked at daily, alpha {setting['alpha']:.0%}"
    lines = [*_promises(found), *_world(found), *_after(found), *_coverage(found["coverage"])]
    return "\n".join([head, *(f"{name:<76}{value}" for name, value in lines), f"{found['seconds']:.0f} seconds"])


def _promises(found: Found) -> list[tuple[str, str]]:
    power, times, harm = found["power_one_point"], found["time_to_decision"], found["harm_of_0.8_points"]
    alone = ", ".join(f"{name} {value:.1%}" for name, value in power["of_each_rule"].items())
    neutral, with_x, printed = found["neutral_pass"], found["neutral_pass_with_predictions"], found["as_printed_neutral_pass"]
    return [
        ("retention 0.5 points lower (at the margin), sales better: promoted", _rate(found["false_promotion"])),
        ("  its retention rule by itself: passed", _rate(found["false_pass_of_retention"])),
        ("  the same by a z-test that is repeated daily: passed", f"{found['peeked_z_test_false_promotion']:.1%}"),
        ("no effect at all: promoted", _rate(found["false_promotion_without_lift"])),
        ("retention 0.8 points lower: promoted / rejected", f"{harm['promoted']:.1%} / {harm['rejected']:.1%}"),
        ("no harm: retention rule passes", f"{_rate(neutral)}, median {_number(neutral['median_pairs'])} pairs"),
        (
            "  the paper's formula as printed: at the margin / no harm",
            f"{found['as_printed_false_pass']:.2%} / {printed['rate']:.2%}, median {_number(printed['median_pairs'])} pairs",
        ),
        ("  with predictions of who stays", f"{_rate(with_x)}, median {_number(with_x['median_pairs'])} pairs"),
        ("+1 point of conversion, no harm: promoted", f"{_rate(power)}, median day {_number(power['median_days'])}"),
        ("  each rule by itself", alone),
        (
            "days to pass retention, 28 for the label included: gate / one planned look",
            f"{_number(times['gate_median_days'])} / {_number(times['fixed_n_days'])}",
        ),
    ]


def _world(found: Found) -> list[tuple[str, str]]:
    seasons, segments, split = found["seasons"], found["segments"], found["sample_ratio"]
    ramp, rows = seasons["ramp_with_drift"], found["dependence"]
    hurt, fine = segments["one_harmed"], segments["none_harmed"]
    lost, mean = split["lost_5_percent"], [f"; by the mean alone {part['promoted_by_the_mean_alone']:.1%}" for part in (hurt, fine)]
    return [
        ("at the margin while retention falls by 5 points: passed", _rate(seasons["drift"])),
        ("at the margin, weekly swings of members and retention: passed", _rate(seasons["weekly"])),
        ("at the margin, ramp 10-25-50-75% while retention falls / rises: passed", f"{_rate(ramp)} / {ramp['rising']:.1%}"),
        ("  the same rising, all members pooled instead of by cohort", f"{ramp['rising_pooled']:.1%}"),
        ("at the margin, four dependent rows a member: passed", f"{_rate(rows['by_member'])}; rows taken as independent {rows['by_row']:.1%}"),
        ("+3 points of conversion that halve each week: promoted", _rate(found["novelty"])),
        (
            "one of six segments loses 4 points: promoted / rejected",
            f"{hurt['promoted']:.1%} / {hurt['rejected']:.1%}{mean[0]}",
        ),
        ("none of six is harmed: retention passes, all six included", f"{fine['promoted']:.1%}{mean[1]}"),
        (
            "sample ratio: fair split stopped / 5% lost found",
            f"{split['fair']['stopped']:.2%} / {lost['stopped']:.1%}, median day {_number(lost['median_days'])}",
        ),
    ]


def _after(found: Found) -> list[tuple[str, str]]:
    back = found["rollback"]
    days = ", ".join(f"{harm}: {_number(day)}" for harm, day in back["median_days_by_harm"].items())
    return [
        ("roll-back within 180 days, champion at the margin / harmless", f"{back['false_alarm']:.1%} / {back['false_alarm_harmless']:.1%}"),
        ("days until harm is rolled back, 28 for the label included", days),
        ("  8 points less activity in the first week", _number(back["early_proxy_median_days"])),
    ]


def _coverage(parts: Mapping[str, Found]) -> list[tuple[str, str]]:
    names = {name: name.replace("_", " ") for name in parts}
    return [(f"held the truth at every look, worse end: {names[name]}", _rate({"rate": p["held"], **p})) for name, p in parts.items()]


def _rate(found: Found) -> str:
    low, high = found["interval"]
    return f"{found['rate']:.2%} [{low:.2%}, {high:.2%}]"


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:,.0f}"
