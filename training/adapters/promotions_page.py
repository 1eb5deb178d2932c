"""The page of promotions, as one self-contained HTML file beside the reports, and as Airflow's UI shows it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from training.adapters.ports import Platform
from training.adapters.promotions import Facts, View, charge, view
from training.adapters.promotions_metrics import day_of_look
from training.adapters.report import environment, rule_line, write
from training.config.settings import Settings
from training.domain.aliases import ANCHOR, CHAMPION
from training.domain.experiment import Cause, Change, Experiment
from training.domain.nouns import Evidence, Verdict, VerdictKind
from training.evaluation.looks import Role

NAME = "promotions.html"
SHOWN = 20
"""Experiments and screens in the history with all their evidence; a year of weekly ones has its own pages."""
LABELS = ("converted", "retained")
RUN = re.compile(r"(\w+) ((?:manual|scheduled|asset_triggered|asset_materialization|backfill)__\S+)")
"""How the ledger names a run of a DAG; anything else is a person."""


@dataclass(frozen=True)
class Live:
    """Who looks at the page in Airflow: `allowed` may roll back. `nonce` is of the answer's content security policy."""

    user: str
    allowed: bool
    dag: str
    nonce: str


def gather(settings: Settings, platform: Platform, at: datetime) -> Facts:
    """What the page is made of, read once. Makes nothing where nothing is there."""
    experiments = platform.experiments.all()
    shown = experiments[0] if experiments else None
    screens = platform.ledger.verdicts()
    recent = experiments[:SHOWN]
    found = {e.experiment_id: platform.ledger.looks(e.experiment_id) for e in recent}
    aliases = {name: platform.registry.peek(name) for name in (CHAMPION, ANCHOR)}
    champion = aliases[CHAMPION]
    changes = platform.experiments.changes()
    since = charge(champion, changes)
    last: dict[str | Change, Verdict] = {name: looks[-1] for name, looks in found.items() if looks}
    last |= {c: look for c in changes if c.cause is Cause.WATCH and (look := harmful(platform, c))}
    explained, arms = explanation(settings, screens, shown.challenger if shown and shown.running else champion)
    return Facts(
        at=at,
        aliases={name: version for name, version in aliases.items() if version},
        experiments=experiments,
        shown=shown,
        looks=found[shown.experiment_id] if shown else (),
        last_looks=last,
        events={e.experiment_id: platform.experiments.events(e.experiment_id) for e in recent},
        changes=changes,
        screens=screens[:SHOWN],
        watch=[v for v in platform.ledger.looks(f"watch-{champion}") if since is None or day_of_look(v) > since.at.date()] if champion else (),
        explained=explained,
        arms=arms,
        pages=frozenset(p.name for p in settings.reports.glob("*.html")),
    )


def harmful(platform: Platform, change: Change) -> Verdict | None:
    """The look of the watch that led to `change`."""
    return next((v for v in reversed(platform.ledger.looks(f"watch-{change.before}")) if v.kind is VerdictKind.REJECT and v.judged_at <= change.at), None)


def explanation(settings: Settings, screens: Sequence[Verdict], version: str | None) -> tuple[str, list[dict[str, Any]]]:
    """Whose arms, and the arms by segment of the evaluation of `version`; of the newest retrain where that one has none."""
    mine = [v for v in screens if v.challenger == version]
    for verdict in (*mine, *screens):
        path = settings.run_dir(verdict.run_id) / "evaluation.json"
        content: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        everyone = [{"segment": "all members", "share": 1.0, "arms": content["arms"]}] if content.get("arms") else []
        found = [*everyone, *(s for s in content.get("segments", ()) if s["arms"])]
        if found:
            return f"version {verdict.challenger}, trained {verdict.run_id}", [_drawn(s) for s in found]
    return "", []


def render(found: View, live: Live | None = None, running: Experiment | None = None, *, has_index: bool = False) -> str:
    """The page: without `live` a file that needs nothing else and runs no script."""
    template = environment().get_template("promotions.html.j2")
    page: str = template.render(view=_worded(found), live=live, running=running, has_index=has_index, run_page=run_page if live else lambda _: "")
    return page.lstrip()


def run_page(who: str) -> str:
    """Where Airflow's UI shows the run "DAG RUN_ID", whoever approved it, from the page in Airflow on, so that a proxy's path before both is kept; empty for
    anybody else.
    """
    found = RUN.fullmatch(who.partition(", approved by ")[0])
    return f"../../dags/{quote(found[1])}/runs/{quote(found[2], safe='')}" if found else ""


def page(settings: Settings, platform: Platform, at: datetime, live: Live | None = None) -> str:
    """Read everything and render it."""
    facts = gather(settings, platform, at)
    running = facts.shown if facts.shown and facts.shown.running else None
    return render(view(facts), live, running, has_index="index.html" in facts.pages)


def write_promotions(settings: Settings, platform: Platform, at: datetime, path: Path | None = None) -> Path:
    """Write the page whole at `path`, by default `reports/promotions.html`; an older one is replaced."""
    return write(path or settings.reports / NAME, page(settings, platform, at))


def _worded(found: View) -> Any:  # noqa: ANN401 - what the template reads
    """The view with each rule as a line of words."""
    return replace(
        found,
        metrics=[_metric(m) for m in found.metrics],
        early=[_metric(m) for m in found.early],
        watched=[_metric(m) for m in found.watched],
        segments=_grid(found.segments),  # type: ignore[arg-type]
        checks=[rule_line(e) for e in found.checks],  # type: ignore[misc]
        past=[vars(p) | {"rules": [rule_line(e) for e in p.evidence]} for p in found.past],  # type: ignore[misc]
    )


def _grid(segments: Sequence[Evidence]) -> dict[str, Any]:
    """A row a segment, a column a guardrail; empty without segments."""
    rows: dict[str, dict[str, Any]] = {}
    for evidence in segments:
        rule, _, segment = evidence.name.removesuffix(")").partition(f" {evidence.kind.value} (")
        rows.setdefault(segment, {})[rule] = _line(evidence)
    return {"rules": list(dict.fromkeys(rule for row in rows.values() for rule in row)), "rows": rows} if rows else {}


def _line(evidence: Evidence) -> dict[str, Any]:
    """A rule in words, without the role that its place on the page says."""
    role = next((r.value for r in Role if evidence.note.startswith(r.value)), "")
    return rule_line(evidence) | {"note": evidence.note.removeprefix(role).lstrip(",; ")}


def _metric(metric: Any) -> Any:  # noqa: ANN401 - what the template reads
    return {"name": metric.name, "drawing": metric.drawing, "rule": _line(metric.evidence)}


def _drawn(segment: Mapping[str, Any]) -> dict[str, Any]:
    """A segment with the labels that its arms predict and the longest bar."""
    arms = segment["arms"][:12]
    labels = [label for label in LABELS if any(label in arm["predicted"] for arm in arms)]
    return {**segment, "arms": arms, "labels": labels, "widest": max(max(a["challenger"], a["baseline"]) for a in arms) or 1.0}
