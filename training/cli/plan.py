"""`rightmatch plan`: members and days that a live experiment needs, by the rules of the settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.domain.errors import DataError

if TYPE_CHECKING:
    from training.config.settings import Settings
    from training.domain.rules import Rule
    from training.evaluation.planning import Goal, Need, Traffic

UNUSABLE = 2
LOSSES = (2, 4)
"""In margins: what `rightmatch plan` says of the watch."""


@dataclass(frozen=True)
class Wanted:
    """The options. `bases` are NAME=RATE of 0/1 metrics, `deviations` NAME=SD of others, `margins` NAME=MARGIN instead of the settings' ones,
    `gains` NAME=RISE of guardrails, which are else assumed unchanged.
    """

    daily: float
    effect: float
    bases: Sequence[str]
    deviations: Sequence[str] = ()
    margins: Sequence[str] = ()
    gains: Sequence[str] = ()
    shares: tuple[float, float] = (0.5, 0.5)
    alpha: float | None = None
    power: float = 0.8
    seed: int = 7


def plan(wanted: Wanted, *, as_json: bool) -> int:
    """Print the plan; exit code 2 with the reason where the options are none."""
    try:
        found = planned(wanted)
    except (DataError, ValueError) as error:
        print(f"rightmatch: {error}", file=sys.stderr)
        return UNUSABLE
    print(json.dumps(found, allow_nan=False)) if as_json else _show(found)
    return 0


def planned(wanted: Wanted) -> dict[str, Any]:
    """The JSON object. Raises DataError or ValueError with what is wrong."""
    import numpy as np

    from training.config.settings import load_settings
    from training.evaluation.planning import Traffic, needs, shortest, simulate

    settings = load_settings()
    alpha = settings.judging.alpha if wanted.alpha is None else wanted.alpha
    if not (0.0 < alpha < 0.5 and 0.0 < wanted.power < 1.0):  # noqa: PLR2004 - from one half on every coin is evidence
        raise DataError(f"--alpha {alpha} or --power {wanted.power} is none: alpha lies between 0 and 0.5, power between 0 and 1. 0.05 and 0.8 are usual.")
    traffic = Traffic(wanted.daily, *wanted.shares)
    rules = settings.guardrails()
    goals = _goals(rules, wanted)
    found = needs(goals, traffic, alpha, wanted.power)
    most = max(n.days for n in found)
    days = shortest(goals, traffic, most, (alpha, wanted.power), wanted.seed)
    decided = simulate(goals, traffic, days, alpha, np.random.default_rng(wanted.seed + 1))
    labels = max(g.delay for g in goals)
    middle = float(np.median(decided))
    return {
        "alpha": alpha,
        "power": wanted.power,
        "rules": [_rule(n, traffic) for n in found],
        "left_out": sorted({r.metric for r in rules} - {g.rule.metric for g in goals}),
        "members": _members(days, traffic),
        "days": days + labels,
        "by_formula_members": _members(most, traffic),
        "by_formula_days": max(n.days + n.goal.delay for n in found),
        "fixed_members": _members(max(n.fixed_days for n in found), traffic),
        "fixed_days": max(n.fixed_days + n.goal.delay for n in found),
        "simulated_power": float(np.isfinite(decided).mean()),
        "median_days": middle if np.isfinite(middle) else None,
        "next_alpha": _next_alpha(settings),
        "watch": _watch(settings, goals, wanted.daily),
    }


def _watch(settings: Settings, goals: Sequence[Goal], daily: float) -> dict[str, Any]:
    """Members whom the holdback gets in a day, and of each guardrail the days until the first watch finds losses of so many margins; nothing without one."""
    from training.domain.nouns import RuleKind
    from training.evaluation.planning import Traffic, found_by_watch
    from training.evaluation.watched import spent

    held, guards = settings.experiment.holdback, [g for g in goals if g.rule.kind is RuleKind.NON_INFERIOR]
    if not held:
        return {"members_a_day": 0.0, "days": {}}
    traffic, alpha = Traffic(daily, held, 1.0 - held - settings.experiment.control), spent(settings.judging.alpha, 1)
    days = {g.rule.metric: {f"{times * g.rule.margin:g}": found_by_watch(g, times * g.rule.margin, traffic, alpha) for times in LOSSES} for g in guards}
    return {"members_a_day": daily * held, "days": days}


def _next_alpha(settings: Settings) -> float | None:
    """What the ledger's experiments leave for the next one; None without a ledger, or where nothing is to be spent."""
    from training.bootstrap import platform
    from training.steps.opening import next_alpha

    kept = Path(settings.ledger_url.removeprefix("sqlite:///"))
    return next_alpha(settings, platform(settings).experiments) if settings.experiment.spend and kept.is_file() else None


def _rule(need: Need, traffic: Traffic) -> dict[str, Any]:
    rule = need.goal.rule
    return {
        "name": f"{rule.metric} {rule.kind.value}",
        "distance": need.goal.distance,
        "members": _members(need.days, traffic),
        "days": need.days,
        "fixed_members": _members(need.fixed_days, traffic),
        "fixed_days": need.fixed_days,
        "label_days": need.goal.delay,
    }


def _members(days: int, traffic: Traffic) -> dict[str, int]:
    return {side: round(days * traffic.daily * share) for side, share in (("control", traffic.control), ("treatment", traffic.treatment))}


def _goals(rules: Sequence[Rule], wanted: Wanted) -> list[Goal]:
    from dataclasses import replace

    from training.domain.nouns import RuleKind
    from training.evaluation.planning import Goal

    spread = {name: (rate * (1.0 - rate)) ** 0.5 for name, rate in _named(wanted.bases, "--base").items()} | _named(wanted.deviations, "--deviation")
    margins, gains = _named(wanted.margins, "--margin"), _named(wanted.gains, "--gain")
    unknown = sorted((spread.keys() | margins.keys() | gains.keys()) - {r.metric for r in rules})
    if unknown:
        raise DataError(f"No rule of the settings judges {', '.join(unknown)}; they judge {', '.join(r.metric for r in rules)}.")
    missing = [r.metric for r in rules if not spread.get(r.metric, 0.0) > 0.0 and (r.kind is RuleKind.SUPERIOR or r.metric in spread)]
    if missing:
        why = f"How much {', '.join(missing)} varies is not known, so no sample can be said"
        raise DataError(f"{why}. Give --base NAME=RATE (0 < rate < 1) or --deviation NAME=SD.")
    rules = [replace(r, margin=margins.get(r.metric, r.margin)) for r in rules if r.metric in spread]
    rise = {r.metric: wanted.effect for r in rules if r.kind is RuleKind.SUPERIOR} | gains
    return [Goal(r, spread[r.metric], rise.get(r.metric, 0.0), _delay(r.metric)) for r in rules]


def _delay(metric: str) -> int:
    """Days after a member's entry by which the outcome is known, as the looks wait; of a metric without a window, those of a conversion."""
    from training.domain.nouns import Label
    from training.evaluation.units import DAY, known_after

    return (known_after(metric) or known_after(Label.CONVERTED.value) or 0) // DAY


def _named(texts: Sequence[str], option: str) -> dict[str, float]:
    found = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            found[name] = float(number)
        except ValueError as error:
            raise DataError(f"{option} {text!r} is not NAME=NUMBER, such as retained=0.95.") from error
        if option == "--base" and not 0.0 < found[name] < 1.0:
            raise DataError(f"{option} {text!r}: a rate lies between 0 and 1, both excluded. Give --deviation for a metric that is not 0 or 1.")
    return found


def _show(found: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"Plan: alpha {found['alpha']:g}, power {found['power']:.0%}; days of entering, and of the label", title_justify="left")
    for column in ("rule", "distance", "one look", "formula", "label"):
        table.add_column(column, justify="left" if column == "rule" else "right", no_wrap=True)
    for rule in found["rules"]:
        table.add_row(rule["name"], f"{rule['distance']:g}", str(rule["fixed_days"]), str(rule["days"]), str(rule["label_days"]))
    console = Console()
    console.print(table)
    for sentence in _sentences(found):
        console.print(sentence, highlight=False, soft_wrap=True)


def _watched(watch: Mapping[str, Any]) -> list[str]:
    if not watch["days"]:
        return ["Nobody is held back (experiment.holdback), so nobody watches what is promoted."]

    def told(days: int | None) -> str:
        return "not within a year" if days is None else f"by day {days}"

    losses = [f"{metric} worse {', '.join(f'by {loss} {told(day)}' for loss, day in days.items())}" for metric, days in watch["days"].items()]
    return [f"Then watched by {watch['members_a_day']:,.0f} new members a day who are held back. About half of the watches find: {'; '.join(losses)}."]


def _sentences(found: Mapping[str, Any]) -> list[str]:
    groups = " and ".join(f"{n:,} in {side}" for side, n in found["members"].items())
    half = "" if found["median_days"] is None else f", in half of them by day {found['median_days']:.0f}"
    spent = "" if found["next_alpha"] is None else f"The ledger leaves the next experiment alpha {found['next_alpha']:.4g}; --alpha plans for it."
    left_out = f"Left out, as nothing says how much they vary (--base, --deviation): {', '.join(found['left_out'])}." if found["left_out"] else ""
    sentences = [
        left_out,
        f"Looked at daily: {groups}, decided within {found['days']} days, the slowest label included.",
        f"All rules pass in {found['simulated_power']:.0%} of simulated experiments of that size{half}.",
        f"One look at the end: {found['fixed_days']} days. By the formula, whose last look alone has the power: {found['by_formula_days']} days.",
        spent,
        *_watched(found["watch"]),
    ]
    return [s for s in sentences if s]
