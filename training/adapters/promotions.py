"""What the page of promotions says: pure, from what ledger, registry and the last evaluation hold. `promotions_page` reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from training.adapters.promotions_metrics import MEASURED, Metric, days_left, grouped, role
from training.adapters.promotions_past import Past, past
from training.adapters.report import MARKS
from training.domain.aliases import ANCHOR, CHAMPION
from training.domain.experiment import Cause, Change, Event, Experiment, State
from training.domain.nouns import Evidence, Verdict, VerdictKind
from training.evaluation.looks import ONLY_REJECTING, Role

OTHER_CAUSES = {Cause.SCREEN: "by the offline screen", Cause.EXPERIMENT: "by a live experiment", Cause.WATCH: "by the watch", Cause.HAND: "by hand"}
"""By what a champion came into charge."""


@dataclass(frozen=True)
class Facts:
    """All that is known `at` an instant. `looks` are those at `shown`, the experiment that runs or the last one; `last_looks` the last one of
    each, and the one by which the watch made a change.

    `pages` are the names of the files beside the page, so that nothing is linked that is not there.
    """

    at: datetime
    aliases: Mapping[str, str]
    experiments: Sequence[Experiment] = ()
    shown: Experiment | None = None
    looks: Sequence[Verdict] = ()
    last_looks: Mapping[str | Change, Verdict] = field(default_factory=dict)
    events: Mapping[str, Sequence[Event]] = field(default_factory=dict)
    changes: Sequence[Change] = ()
    screens: Sequence[Verdict] = ()
    watch: Sequence[Verdict] = ()
    explained: str = ""
    arms: Sequence[Mapping[str, Any]] = ()
    pages: frozenset[str] = frozenset()

    @property
    def champion(self) -> str | None:
        """The version in charge."""
        return self.aliases.get(CHAMPION)


@dataclass(frozen=True)
class Banner:
    """A state at a glance: colour (`css`), sign and word, one sentence and its reason."""

    css: str
    mark: str
    word: str
    sentence: str
    why: str = ""


@dataclass(frozen=True)
class Step:
    """One stage of the ramp: `word` is done, now or to come."""

    share: str
    word: str
    mark: str
    since: str


@dataclass(frozen=True)
class Tile:
    """One fact of the first screen."""

    name: str
    value: str
    note: str


@dataclass(frozen=True)
class View:
    """The page, top to bottom."""

    at: datetime
    banner: Banner
    tiles: Sequence[Tile]
    steps: Sequence[Step]
    trial: str
    metrics: Sequence[Metric]
    early: Sequence[Metric]
    segments: Sequence[Evidence]
    checks: Sequence[Evidence]
    watch: Banner | None
    watched: Sequence[Metric]
    watch_lineage: Mapping[str, str]
    explained: str
    arms: Sequence[Mapping[str, Any]]
    past: Sequence[Past]
    champion: str | None
    back: str | None


def view(facts: Facts) -> View:
    """The page of `facts`."""
    shown, looks = facts.shown, facts.looks
    metrics, early, segments, checks = grouped(looks, shown.stages if shown else ())
    watched, watched_early, _, _ = grouped(facts.watch, ())
    return View(
        at=facts.at,
        banner=banner(facts),
        tiles=[_in_charge(facts), _on_trial(shown), _decision(shown, looks), _watch_tile(facts)],
        steps=_steps(shown),
        trial=f"Version {shown.challenger} against version {shown.champion}" if shown else "",
        metrics=metrics,
        early=early,
        segments=segments,
        checks=checks,
        watch=watch(facts),
        watched=[*watched, *watched_early],
        watch_lineage=facts.watch[-1].lineage if facts.watch else {},
        explained=facts.explained,
        arms=facts.arms,
        past=past(facts.experiments, facts.last_looks, facts.events, facts.changes, facts.screens, facts.pages),
        champion=facts.champion,
        back=target(facts.champion, facts.changes),
    )


def target(champion: str | None, changes: Sequence[Change]) -> str | None:
    """The version that a roll-back puts in charge: the one that `champion` replaced when it first came; None where there was none."""
    first = next((c for c in reversed(changes) if c.after == champion != c.before), None)
    return first.before if champion and first else None


def banner(facts: Facts) -> Banner:
    """The state in one sentence."""
    shown, champion = facts.shown, facts.champion
    newest = next((c for c in facts.changes if c.cause in OTHER_CAUSES), None)
    if facts.changes and champion not in {None, facts.changes[0].after}:
        known = f"version {facts.changes[0].after}" if facts.changes[0].after else "the logging policy"
        why = "The alias was moved in the registry itself, or a change is being made or was killed half way. The next run of the DAG guard records it."
        return Banner("HOLD", "◇", "Not in the ledger", f"Version {champion} is in charge; by the ledger it is {known}.", why)
    if shown and shown.running:
        sentence = (
            f"Version {shown.challenger} is tried on {share(shown)} of the members of the experiment (stage {len(shown.stages)} of {len(shown.ramp)}); "
            f"version {shown.champion} stays in charge."
        )
        if not facts.looks:
            return Banner("HOLD", MARKS[VerdictKind.HOLD], "On trial", sentence, "Nothing was looked at yet.")
        last = facts.looks[-1]
        word = {VerdictKind.PROMOTE: "Passed the last look", VerdictKind.REJECT: "Harm found", VerdictKind.HOLD: "Not decided yet"}[last.kind]
        return Banner(last.kind.value, MARKS[last.kind], word, sentence, undecided(last) or last.reason)
    if newest and newest.cause in {Cause.WATCH, Cause.HAND} and newest.after == champion:
        back = f"version {newest.after}" if newest.after else "the logging policy"
        word = "Rolled back" if newest.cause is Cause.WATCH else "Changed by hand"
        return Banner("REJECT", "↩", word, f"Version {newest.before} was replaced by {back} on {day_of(newest.at)}, by {newest.by}.", newest.reason)
    if champion is None:
        return Banner("CALM", "○", "No champion yet", "The logging policy decides; the first challenger that passes the screen takes charge.")
    return Banner("CALM", "●", "In charge", f"Version {champion} decides for everyone; no experiment runs.", newest.reason if newest else "")


def undecided(look: Verdict) -> str:
    """What a look that holds still waits for, in one line; empty where another kind of verdict, or a broken split, says it by itself."""
    rules = [e for e in look.evidence if e.kind in MEASURED and role(e) is not Role.EARLY and not e.passed]
    broken = any(e.kind not in MEASURED and not e.passed for e in look.evidence)
    if look.kind is not VerdictKind.HOLD or broken or not rules:
        return ""
    parts = [e for e in rules if role(e) is Role.SEGMENT]
    names = [e.name.replace(f" {e.kind.value}", "") for e in rules if e not in parts]
    if parts:
        of = sum(1 for e in look.evidence if e.kind in MEASURED and role(e) is Role.SEGMENT)
        names.append(f"{len(parts)} of {of} rules by segment")
    return f"Not shown yet: {', '.join(names)}. This is not the same as harmless; more mature data may decide it."


def charge(champion: str | None, changes: Sequence[Change]) -> Change | None:
    """The newest change by which `champion` came into charge or the holdback got another anchor: the watch began anew with the first whole day after it."""
    return next((c for c in changes if champion is not None and c.after == champion), None)


def watch(facts: Facts) -> Banner | None:
    """What the watch says of the champion against the anchor; None where it has not looked since the last change."""
    if not facts.watch:
        return None
    last = facts.watch[-1]
    if any(e.kind not in MEASURED and not e.passed and e.name != "sample_ratio" for e in last.evidence):
        against = f"version {last.challenger} against version {last.baseline}"
        return Banner("REJECT", "✕", "Cannot be watched", f"Watched would be {against}, which the holdback gets.", last.reason)
    rules = [e for e in last.evidence if e.name != "sample_ratio"]
    harmful = [e.name for e in rules if e.refuted]
    against = f"version {last.challenger} against version {last.baseline}, which the holdback gets"
    if harmful:
        return Banner("REJECT", "✕", "Harm found", f"Watched: {against}.", f"Worse than the margin allows: {', '.join(harmful)}.")
    missing = ", ".join(e.name for e in rules if not e.passed and role(e) not in ONLY_REJECTING)
    if not missing:
        return Banner("PROMOTE", "✓", "Shown harmless", f"Watched: {against}.", "Every guardrail lies above its margin, and no later period shows harm.")
    return Banner("HOLD", "◇", "No harm found", f"Watched: {against}.", f"Not yet shown harmless: {missing}.")


def share(experiment: Experiment) -> str:
    """The challenger's share at the present stage."""
    return f"{experiment.stages[-1][1]:.0%}"


def day_of(at: datetime | date) -> str:
    """As a person reads it."""
    return f"{at:%-d %b %Y}"


def _in_charge(facts: Facts) -> Tile:
    if facts.champion is None:
        return Tile("In charge", "logging policy", "nobody was promoted yet")
    since = next((c for c in facts.changes if c.after == facts.champion and c.cause in OTHER_CAUSES), None)
    note = f"since {day_of(since.at)}, {OTHER_CAUSES[since.cause]}" if since else "since when is not in the ledger"
    return Tile("In charge", f"version {facts.champion}", note)


def _on_trial(shown: Experiment | None) -> Tile:
    if shown is None:
        return Tile("On trial", "nobody", "no live experiment was run yet")
    if not shown.running:
        word = shown.state.value.replace("_", " ")
        return Tile("On trial", "nobody", f"the last one, version {shown.challenger}, was {word} on {day_of(shown.changed_at)}")
    return Tile("On trial", f"version {shown.challenger}", f"{share(shown)} since {day_of(shown.stages[-1][0])}; opened {day_of(shown.opened_at)}")


def _decision(shown: Experiment | None, looks: Sequence[Verdict]) -> Tile:
    """How long this stage may still take, if the values stay as they are."""
    if shown is None or not shown.running:
        return Tile("Days left", "-", "no experiment runs")
    left = days_left(looks)
    of = f"of stage {len(shown.stages)}, if values and members stay as they are"
    if left is None:
        return Tile("Days left", "unknown", "a rule has no interval yet, or its value lies on the wrong side of its threshold")
    return Tile("Days left", f"about {left}" if left else "0", of if left else "every rule of this stage has passed")


def _watch_tile(facts: Facts) -> Tile:
    found, anchor = watch(facts), facts.aliases.get(ANCHOR)
    if found is None:
        change = charge(facts.champion, facts.changes)
        if anchor not in {None, facts.champion} and change is not None:
            return Tile("Watch", "begins anew", f"against anchor version {anchor}, with the first whole day after {day_of(change.at)}")
        return Tile("Watch", "not watched", f"anchor: version {anchor}" if anchor else "no anchor is set")
    return Tile("Watch", f"{found.mark} {found.word.lower()}", f"against anchor version {facts.watch[-1].baseline}; {len(facts.watch)} looks")


def _steps(shown: Experiment | None) -> list[Step]:
    if shown is None:
        return []
    now = len(shown.stages) - 1
    found = []
    for i, part in enumerate(shown.ramp):
        word = "done" if i < now or shown.state is State.PROMOTED else "to come" if i > now else "now" if shown.running else shown.state.value
        since = day_of(shown.stages[i][0]) if i <= now else ""
        found.append(Step(f"{part:.0%}", word, {"done": "✓", "now": "●", "to come": "○"}.get(word, "✕"), since))
    return found
