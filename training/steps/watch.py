"""`watch`: whether the champion harms members, against the holdback that gets the version before it. It judges; another step moves the alias."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np

from training.adapters.entries import Seen, seen
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.aliases import ANCHOR, CHAMPION
from training.domain.assignment import Group
from training.domain.experiment import Cause, Change
from training.domain.nouns import Evidence, RuleKind, Verdict, look_id
from training.domain.rules import Rule
from training.evaluation.intervals import Floats, Ints
from training.evaluation.looks import HARMLESS, Look, Measured, Role, look
from training.evaluation.measured import agreement, early, gap, means
from training.evaluation.units import Assigned, Flags, disagreement
from training.evaluation.watched import HARM, Tried, after, disturbing, entered, followed, level, spent, undisturbed
from training.steps.judge import provenance, told
from training.steps.split_kept import SPLIT, split_words, why_broken

KEPT = "Every guardrail of the members' first period holds against the holdback, and no later one shows harm: the champion is kept."


@dataclass(frozen=True)
class WatchReport:
    """The verdict on `champion` against `anchor` by `units`; an empty `kind` where there is nothing to watch."""

    champion: str
    anchor: str
    kind: str
    reason: str
    units: int = 0


def run(day: date, settings: Settings, platform: Platform) -> WatchReport:
    """Record the verdict on the champion as of the end of `day`: REJECT for harm beyond doubt, PROMOTE once every guardrail holds, else HOLD.

    A rerun replaces the row with the same. Nothing to watch is no error. Raises NotReadyError where the marts do not reach `day`.
    """
    champion, anchor = platform.registry.version(CHAMPION), platform.registry.version(ANCHOR)
    changes = platform.experiments.changes()
    number, change = charge(changes, champion)
    why = idle(day, champion, anchor, change) or unknown(champion, changes)
    if why or champion is None or anchor is None or change is None:
        print(f"{why} Nothing was watched.", flush=True)
        return WatchReport(champion or "", anchor or "", "", why)
    begin = change.at.date() + timedelta(days=1)
    rules = [rule for rule in settings.guardrails() if rule.kind is RuleKind.NON_INFERIOR]
    proxies = [early(proxy.value, margin) for proxy, margin in settings.experiment.early.items()]
    rows = seen(settings.marts, begin, day, tuple(dict.fromkeys(rule.metric for rule in (*rules, *proxies))))
    assigned = Assigned.of(settings.experiment.split(None), rows.decisions.ids)
    tried = [Tried.of(e, rows.decisions.ids, assigned.open) for e in disturbing(platform.experiments.all())]
    measured, units = measure(rows, assigned, tried, begin, (rules, proxies))
    alpha = spent(settings.judging.alpha, number)
    found = concluded(look(measured, [logged(rows, assigned, tried)], alpha, HARMLESS))
    before = [v for v in platform.ledger.looks(f"watch-{champion}") if change.at < v.judged_at < rows.end]
    reason = why_broken(found, settings, before, f"nobody watches the champion until `rightmatch anchor {anchor}` begins the watch anew.") + found.reason
    about = {
        "watch": f"version {champion} against version {anchor}, the watch of number {number}",
        "alpha": f"{alpha:g}",
        "data_window": f"{begin} to {day}",
        "model_version": champion,
        "experiment": change.experiment_id,
        SPLIT: split_words(settings),
    }
    lineage = {name: value for name, value in about.items() if value} | provenance(day, settings)
    platform.ledger.record(Verdict(look_id(f"watch-{champion}", day), found.kind, champion, anchor, found.evidence, reason, rows.end, lineage))
    told(found.evidence)
    print(f"{about['watch']}, {units:,} units: {found.kind.value}: {reason}", flush=True)
    return WatchReport(champion, anchor, found.kind.value, reason, units)


def charge(changes: Sequence[Change], champion: str | None) -> tuple[int, Change | None]:
    """The change, newest first in `changes`, by which `champion` came into charge or the holdback got another anchor, and its number among all that a watch
    followed: neither the screen's first champion nor a roll-back.
    """
    newest = next((i for i, change in enumerate(changes) if change.after == champion and champion is not None), None)
    if newest is None:
        return 0, None
    watched = {Cause.EXPERIMENT, Cause.HAND, Cause.ANCHOR}
    watches = sum(c.after is not None and (c.cause in watched or (c.cause is Cause.SCREEN and c.before is not None)) for c in changes[newest:])
    return max(1, watches), changes[newest]


def idle(day: date, champion: str | None, anchor: str | None, change: Change | None) -> str:
    """Why there is nothing to watch; empty where there is."""
    if champion is None:
        return "No champion is in charge."
    if anchor in {None, champion}:
        return f"The holdback gets version {champion} as well." if anchor else "No version is the anchor, so the holdback gets the champion as well."
    if change is None:
        return f"The ledger does not say since when version {champion} is in charge."
    return f"Version {champion} is compared with version {anchor} since {change.at}; the first whole day is the next." if change.at.date() >= day else ""


def unknown(champion: str | None, changes: Sequence[Change]) -> str:
    """Why nothing may be compared where another version is in charge than the ledger says; empty where it is that one."""
    if champion == changes[0].after:
        return ""
    return f"Version {champion} is in charge and the ledger says {changes[0].after}: the step `roll_back` records that, and the watch begins then."


def measure(rows: Seen, assigned: Assigned, tried: Sequence[Tried], begin: date, rules: tuple[Sequence[Rule], Sequence[Rule]]) -> tuple[list[Measured], int]:
    """Guardrails of each period that is known of anybody, early proxies of the first, and how many units there are."""
    units = entered(rows.decisions, assigned.holdback | assigned.open, begin)
    member = rows.decisions.member[units]
    treated, cohort = ~assigned.holdback[member], rows.decisions.day[units]
    until = undisturbed(rows.decisions, units, tried, rows.instant)
    found: list[Measured] = []
    for period, known in enumerate(followed(rows.decisions, units, until), 1):
        role = Role.LATER if period > 1 else Role.FINAL
        guards = [compared(rule, role, known[rule.metric], treated, cohort) for rule in rules[0] if period == 1 or not np.isnan(known[rule.metric]).all()]
        found += [replace(one, where=after(period), level=level(period)) for one in guards]
        found += [compared(rule, Role.EARLY, known[rule.metric], treated, cohort) for rule in rules[1] if period == 1]
    return found, len(units)


def compared(rule: Rule, role: Role, y: Floats, treated: Flags, cohort: Ints) -> Measured:
    """One metric of all members of whom it is known; `y` [u], NaN where it is not."""
    there = ~np.isnan(y)
    value, error, members = gap(y[there], treated[there], cohort[there])
    return Measured(rule, value, error, members, HARM * rule.margin, role, note=means(y[there], treated[there], ("holdback", "champion")))


def logged(rows: Seen, assigned: Assigned, tried: Sequence[Tried]) -> Evidence:
    """Whether the holdback and the champion's members were decided for as such."""
    member, at = rows.decisions.member, rows.decisions.at
    considered = (assigned.holdback | assigned.open)[member]
    for one in tried:
        considered &= ~one.during(member, at)
    return agreement(*disagreement(rows.decisions, considered, ~assigned.holdback[member], (Group.HOLDBACK, Group.CHAMPION)))


def concluded(found: Look) -> Look:
    """In the words of a watch."""
    return replace(found, reason=KEPT) if found.kind.value == "PROMOTE" else found
