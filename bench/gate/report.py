"""The figures as a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Found = Mapping[str, Any]
WIDE = 92


def table(found: Found) -> str:
    """One line a measurement."""
    setting = found["setting"]
    size = f"{setting['experiments']:,} experiments a line (ramps but the first fewer), {setting['members_a_day']:,} members a day for {setting['days']} days"
    head = f"{size},\nin ramps {setting['members_a_day_in_ramps']:,} a day; looked at daily, alpha {setting['alpha']:.0%}"
    lines = [*_ramps(found), *_world(found), *_rules(found), *_after(found), *_coverage(found["coverage"])]
    return "\n".join([head, *(f"{name:<{WIDE}}{value}" for name, value in lines), f"{found['seconds']:.0f} seconds"])


def _ramps(found: Found) -> list[tuple[str, str]]:
    margin, power, few = found["ramp_at_the_margin"], found["power_one_point"], found["power_one_point_of_few_members"]
    small, large = found["harm_of_0.8_points"], found["harm_of_2_points"]
    half, cheap = found["power_one_point_at_one_half"], found["power_one_point_cheaper"]
    return [
        ("ramp 10-25-50-75%, retention 0.5 points lower (at the margin), sales better: promoted", _rate(margin)),
        ("  came to each stage", _stages(margin)),
        ("no effect at all: promoted", _rate(found["false_promotion_without_lift"])),
        ("+1 point of conversion, no harm: promoted", f"{_rate(power)}, median day {_number(power['median_days'])}"),
        ("  came to each stage; stopped, as a stage held for 90 days", f"{_stages(power)}; {power['stopped']:.1%}"),
        ("  a third of the members: promoted / stopped", f"{few['default']['rate']:.1%} / {few['default']['stopped']:.1%}"),
        ("  the same where a stage may hold for 180 days", f"{few['twice_as_long']['rate']:.1%} / {few['twice_as_long']['stopped']:.1%}"),
        ("+1 point of conversion, each worth 30% less: promoted / rejected / stopped", _ends(cheap)),
        ("retention 0.8 points lower: promoted / rejected / stopped", _ends(small)),
        (
            "retention 2 points lower: promoted / rejected",
            f"{large['rate']:.1%} / {large['rejected']:.1%}, median day {_number(large['median_days_rejected'])}",
        ),
        ("last stage alone, one half from the first day on: promoted at the margin", _rate(found["false_promotion_at_one_half"])),
        ("  +1 point of conversion, no harm: promoted", f"{_rate(half)}, median day {_number(half['median_days'])}"),
        ("  each rule by itself", ", ".join(f"{name} {value:.1%}" for name, value in half["of_each_rule"].items())),
    ]


def _world(found: Found) -> list[tuple[str, str]]:
    seasons, segments, split, new = found["seasons"], found["segments"], found["sample_ratio"], found["novelty"]
    hurt, fine = segments["one_harmed"], segments["none_harmed"]
    lost, mean = split["lost_5_percent"], [f"; without segments {part['promoted_by_the_mean_alone']:.1%}" for part in (hurt, fine)]
    return [
        ("ramp at the margin while retention falls / rises by 5 points: promoted", f"{_rate(seasons['falling'])} / {_rate(seasons['rising'])}"),
        ("  the rule of retention, rising, all members pooled instead of by cohort", f"{seasons['rising_pooled']:.1%}"),
        ("ramp at the margin, weekly swings of members and retention: promoted", _rate(seasons["weekly"])),
        ("+3 points of conversion that halve each week: promoted by the ramp / at one half", f"{_rate(new['ramp'])} / {new['at_one_half']['rate']:.1%}"),
        ("ramp, one of six segments loses 4 points: promoted / rejected", f"{hurt['rate']:.1%} / {hurt['rejected']:.1%}{mean[0]}"),
        ("ramp, none of six is harmed: promoted", f"{_rate(fine)}{mean[1]}"),
        ("  the same where a stage may hold for 180 days", _rate(segments["none_harmed_twice_as_long"])),
        (
            "sample ratio: fair split stopped / 5% lost found",
            f"{split['fair']['stopped']:.2%} / {lost['stopped']:.1%}, median day {_number(lost['median_days'])}",
        ),
    ]


def _rules(found: Found) -> list[tuple[str, str]]:
    times, rows = found["time_to_decision"], found["dependence"]
    neutral, with_x, printed = found["neutral_pass"], found["neutral_pass_with_predictions"], found["as_printed_neutral_pass"]
    return [
        ("rule of retention alone, pairs: passes at the margin", _rate(found["false_pass_of_retention"])),
        ("  the same by a z-test that is repeated daily", f"{found['peeked_z_test_false_promotion']:.1%}"),
        ("  four dependent rows a member", f"{_rate(rows['by_member'])}; rows taken as independent {rows['by_row']:.1%}"),
        ("  no harm: passes", f"{_rate(neutral)}, median {_number(neutral['median_pairs'])} pairs"),
        ("  with predictions of who stays", f"{_rate(with_x)}, median {_number(with_x['median_pairs'])} pairs"),
        (
            "  the paper's formula as printed: at the margin / no harm",
            f"{found['as_printed_false_pass']:.2%} / {printed['rate']:.2%}, median {_number(printed['median_pairs'])} pairs",
        ),
        (
            "  days to pass, 28 for the label included: gate / one planned look",
            f"{_number(times['gate_median_days'])} / {_number(times['fixed_n_days'])}",
        ),
    ]


def _after(found: Found) -> list[tuple[str, str]]:
    back = found["rollback"]
    low, high = back["false_alarm_interval"]
    head = f"watch of {back['days']} days, {back['holdback_a_day']} members a day held back, alpha {back['alpha']:.2%}: rolled back at the margin"
    lines = [
        (
            head,
            f"{back['false_alarm']:.2%} [{low:.2%}, {high:.2%}]; harmless {back['false_alarm_harmless']:.2%}; at alpha 5% {back['false_alarm_at_alpha']:.2%}",
        ),
        ("  found, and median day: of all members / only of those who come again", ""),
        *((f"    {name}", f"{_found(ways['all'])} / {_found(ways['coming_again'])}") for name, ways in back["by_harm"].items()),
        ("  8 points less activity in the first two weeks: median day", _number(back["early_proxy_median_days"])),
    ]
    points = {name: ", ".join(f"{100 * gap:+.1f}" for gap in gaps[:5]) for name, gaps in back["fading"].items()}
    lines.append(("  true gap after each period where 2 points are lost once, all fragile", f"{points['all']} / {points['coming_again']}"))
    lines += [(f"  1 point lost once, {held} members a day held back", _found(one)) for held, one in back["by_holdback"].items()]
    return lines


def _coverage(parts: Mapping[str, Found]) -> list[tuple[str, str]]:
    names = {name: name.replace("_", " ") for name in parts}
    return [(f"held the truth at every look, worse end: {names[name]}", _rate({"rate": p["held"], **p})) for name, p in parts.items()]


def _rate(found: Found) -> str:
    low, high = found["interval"]
    return f"{found['rate']:.2%} [{low:.2%}, {high:.2%}]"


def _ends(found: Found) -> str:
    return " / ".join(f"{found[name]:.1%}" for name in ("rate", "rejected", "stopped"))


def _stages(found: Found) -> str:
    return ", ".join(f"{share:.0%}" for share in found["stages"])


def _found(found: Found) -> str:
    return f"{found['found']:.0%}, {_number(found['median_days'])}"


def _number(value: float | None) -> str:
    return "never" if value is None else f"{value:,.0f}"
