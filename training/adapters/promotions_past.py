"""Everything that was decided, the newest first: experiments, changes of the champion without one, and screens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from training.adapters.report import MARKS
from training.domain.experiment import Cause, Change, Event, Experiment, State
from training.domain.nouns import Evidence, Verdict, VerdictKind

STATES = {
    State.RUNNING: ("HOLD", "◇ running"),
    State.PROMOTED: ("PROMOTE", "✓ promoted"),
    State.REJECTED: ("REJECT", "✕ rejected"),
    State.STOPPED: ("HOLD", "■ stopped"),
    State.ROLLED_BACK: ("REJECT", "↩ rolled back"),
}
CAUSES = {Cause.HAND: "↩ by hand", Cause.WATCH: "↩ rolled back", Cause.ANCHOR: "⚓ anchor"}


@dataclass(frozen=True)
class Past:
    """One line of the history. `css` and `word` say how it ended; `link` is a page beside this one, empty where there is none."""

    at: datetime
    what: str
    css: str
    word: str
    reason: str
    link: str = ""
    by: str = ""
    steps: Sequence[Event] = ()
    evidence: Sequence[Evidence] = ()
    lineage: Mapping[str, str] = field(default_factory=dict)


def past(
    experiments: Sequence[Experiment],
    last_looks: Mapping[str | Change, Verdict],
    events: Mapping[str, Sequence[Event]],
    changes: Sequence[Change],
    screens: Sequence[Verdict],
    pages: frozenset[str],
) -> list[Past]:
    """All of it; a change that an experiment led to is told with the experiment. `last_looks` are of experiments and of the watch's changes."""
    found = [_experiment(e, last_looks.get(e.experiment_id), events.get(e.experiment_id, ())) for e in experiments]
    found += [_change(c, last_looks.get(c)) for c in changes if c.cause in CAUSES]
    found += [_screen(v, pages) for v in screens]
    return sorted(found, key=lambda p: p.at, reverse=True)


def _experiment(e: Experiment, look: Verdict | None, events: Sequence[Event]) -> Past:
    css, word = STATES[e.state]
    stage = f"stage {len(e.stages)} of {len(e.ramp)}"
    return Past(
        at=e.changed_at,
        what=f"Live experiment: version {e.challenger} against {e.champion}, {stage}",
        css=css,
        word=word,
        reason=e.reason,
        by=events[-1].by if events else "",
        steps=events,
        **_stands_on(look),
    )


def _change(c: Change, look: Verdict | None) -> Past:
    if c.cause is Cause.ANCHOR:
        return Past(c.at, "Anchor renewed", "HOLD", CAUSES[c.cause], c.reason, by=c.by)
    names = [f"version {v}" if v else "the logging policy" for v in (c.before, c.after)]
    return Past(c.at, f"Champion: {names[0]} replaced by {names[1]}", "REJECT", CAUSES[c.cause], c.reason, by=c.by, **_stands_on(look))


def _stands_on(look: Verdict | None) -> dict[str, Any]:
    return {"evidence": look.evidence, "lineage": look.lineage} if look else {}


def _screen(v: Verdict, pages: frozenset[str]) -> Past:
    page = f"{v.run_id}.html"
    css, word = v.kind.value, {VerdictKind.PROMOTE: "passed", VerdictKind.REJECT: "rejected", VerdictKind.HOLD: "held"}[v.kind]
    link = page if page in pages else ""
    what = f"Offline screen of {v.run_id}: version {v.challenger} against {v.baseline}"
    return Past(v.judged_at, what, css, f"{MARKS[v.kind]} {word}", v.reason, link, evidence=v.evidence, lineage=v.lineage)
