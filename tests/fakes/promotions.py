"""A ledger with a history: a first champion, a promotion, a rejection, another promotion that is watched, and an experiment at its third stage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import numpy as np

from training.adapters.ports import Experiments, Ledger, ModelRegistry
from training.adapters.report import write_index, write_report
from training.config.settings import Settings
from training.domain.experiment import Cause, Change, Experiment, State
from training.domain.nouns import Evidence, RuleKind, Verdict, VerdictKind, look_id
from training.domain.rules import Rule
from training.evaluation.looks import Measured, Role, interval

RAMP = (0.10, 0.25, 0.50, 0.75)
ALPHA = 0.05
DAILY = 24_000
NOW = date(2026, 8, 12)
SEGMENTS = {"tenure_days below 180": 0.35, "tenure_days from 180": 0.65, "interest career": 0.4, "interest hiring": 0.3, "country DE": 0.25, "country US": 0.45}


@dataclass(frozen=True)
class Truth:
    """One metric: its base rate, the challenger's true difference, days until its label is mature, its rule and role."""

    rule: Rule
    base: float
    difference: float
    delay: int
    role: Role = Role.FINAL
    where: str = ""
    share: float = 1.0


def truths(sales: float, kept: float, lost: Mapping[str, float] | None = None) -> list[Truth]:
    """The default rules, early proxies, and retention by segment; `lost` says where retention differs from `kept`."""
    retained = Rule("retained", RuleKind.NON_INFERIOR, 0.005)
    opted = Rule("opted_out", RuleKind.NON_INFERIOR, 0.002, lower_is_better=True)
    found = [
        Truth(Rule("converted", RuleKind.SUPERIOR), 0.05, sales, 14),
        Truth(retained, 0.95, kept, 28),
        Truth(opted, 0.01, 0.0, 7),
        Truth(Rule("visited", RuleKind.NON_INFERIOR, 0.02), 0.6, kept, 7, Role.EARLY),
        Truth(Rule("dismissed", RuleKind.NON_INFERIOR, 0.02, lower_is_better=True), 0.2, 0.0, 1, Role.EARLY),
    ]
    for where, share in SEGMENTS.items():
        found += [Truth(retained, 0.95, (lost or {}).get(where, kept), 28, Role.SEGMENT, where, share)]
        found += [Truth(opted, 0.01, 0.0, 7, Role.SEGMENT, where, share)]
    return found


def pairs_by_day(stages: Sequence[tuple[date, float]], last: date) -> np.ndarray:
    """Members of the challenger who entered by the end of each day since the first stage; as many of the champion are compared while it is below a half."""
    days = [stages[0][0] + timedelta(i) for i in range((last - stages[0][0]).days + 1)]
    share = [next(s for first, s in reversed(stages) if first <= day) for day in days]
    return np.cumsum([DAILY * min(s, 1 - s) / (1 + 0.03 * i) for i, s in enumerate(share)])


def evidence(truth: Truth, pairs: np.ndarray, rng: np.random.Generator, shown: float) -> list[Evidence]:
    """The metric's evidence at each day: a random walk in the information of its mature labels."""
    variance = 2 * truth.base * (1 - truth.base)
    mature = np.maximum(np.concatenate([np.zeros(truth.delay), pairs])[: len(pairs)] * truth.share, 0.0)
    steps = np.diff(mature, prepend=0.0)
    sums = np.cumsum(truth.difference * steps + rng.standard_normal(len(steps)) * np.sqrt(variance * steps))
    found = []
    for n, total in zip(mature, sums, strict=True):
        sign = -1.0 if truth.rule.lower_is_better else 1.0
        value, error = (sign * total / n, float(np.sqrt(variance / n))) if n else (0.0, float("inf"))
        wider = truth.share * (shown if truth.role is not Role.EARLY and truth.rule.margin else 1.0)
        measured = Measured(truth.rule, value, error, (int(n), int(n)), 0.01, truth.role, wider, truth.where)
        found.append(interval(measured, ALPHA, ALPHA))
    return found


def looks_of(experiment: Experiment, last: date, truths_: Sequence[Truth], seed: int, subject: str = "") -> list[Verdict]:
    """A verdict for each day from a week after the first stage to `last`."""
    rng, pairs = np.random.default_rng(seed), pairs_by_day(experiment.stages, last)
    shown = 1.0 if experiment.last else 0.6
    columns = [evidence(truth, pairs, rng, shown) for truth in truths_]
    found = []
    for i in range(7, len(pairs)):
        day = experiment.stages[0][0] + timedelta(i)
        rules = tuple(column[i] for column in columns)
        factor = float(abs(rng.normal(-2.0, 1.0)))
        split = Evidence("sample_ratio", RuleKind.SAMPLE_RATIO, factor, (factor, factor), -6.91, int(2 * pairs[i]), passed=True, note="as planned")
        kind, reason = concluded(rules)
        at = datetime.combine(day + timedelta(1), time(2), UTC)
        run_id = look_id(subject or experiment.experiment_id, day)
        dag = "guard" if subject else "experiment"
        found.append(Verdict(run_id, kind, experiment.challenger, experiment.champion, (*rules, split), reason, at, lineage(day, dag)))
    return found


def concluded(rules: Sequence[Evidence]) -> tuple[VerdictKind, str]:
    """As a look concludes."""
    refuted = [e.name for e in rules if e.refuted]
    if refuted:
        return VerdictKind.REJECT, f"Worse than the margin allows, beyond doubt: {', '.join(refuted[:2])}."
    missing = [e.name for e in rules if not e.passed and not e.note.startswith(Role.EARLY.value)]
    if missing:
        return VerdictKind.HOLD, f"Not shown yet: {', '.join(missing)}. This is not the same as harmless; more mature data may decide it."
    return VerdictKind.PROMOTE, "A success metric is superior and every guardrail is non-inferior, which holds however often it was looked at."


def lineage(day: date, dag: str) -> dict[str, str]:
    """As the steps write it."""
    return {
        "dag_run": f"scheduled__{day.isoformat()}T00:00:00+00:00",
        "dag": dag,
        "data_window": f"{(day - timedelta(55)).isoformat()} to {day.isoformat()}",
        "dbt_invocation": "5b0c2c0e-6f1c-4b7e-9a51-0f3c2f8f2d11",
        "quality_page": f"data_docs/{day.isoformat()}/index.html",
        "code_version": "2735b80a1c9e",
        "seed": "7",
    }


def screen(day: date, challenger: str, baseline: str, kind: VerdictKind) -> Verdict:
    """An offline screen of the week's retrain."""
    low = {VerdictKind.PROMOTE: 0.001, VerdictKind.HOLD: -0.004, VerdictKind.REJECT: -0.004}[kind]
    high = {VerdictKind.PROMOTE: 0.009, VerdictKind.HOLD: 0.006, VerdictKind.REJECT: 0.002}[kind]
    sales = Evidence("converted superior", RuleKind.SUPERIOR, (low + high) / 2, (low, high), 0.0, 61_000, kind is VerdictKind.PROMOTE)
    bad = kind is VerdictKind.REJECT
    kept = Evidence(
        "retained non_inferior", RuleKind.NON_INFERIOR, -0.012 if bad else 0.001, (-0.017, -0.007) if bad else (-0.003, 0.005), -0.005, 52_000, not bad, bad
    )
    reason = {
        VerdictKind.PROMOTE: "A success metric is superior and every guardrail is non-inferior.",
        VerdictKind.HOLD: "Not shown yet: converted superior. This is not the same as harmless; more mature data may decide it.",
        VerdictKind.REJECT: "Refuted by the evidence: retained non_inferior.",
    }[kind]
    at = datetime.combine(day + timedelta(1), time(), UTC)
    return Verdict(day.isoformat(), kind, challenger, baseline, (sales, kept), reason, at, lineage(day, "retrain") | {"model_version": challenger})


def seed(settings: Settings, ledger: Ledger, experiments: Experiments, registry: ModelRegistry) -> datetime:
    """Fill the home as five months would have; returns the instant that it is then. Versions 1 to 6; 4 is in charge, 6 is on trial, 1 is the anchor."""
    for version in "123456":
        _register(registry, settings.home / "seeded" / version)
    screens = [
        screen(date(2026, 1, 11), "1", "logging policy", VerdictKind.PROMOTE),
        screen(date(2026, 1, 18), "2", "1", VerdictKind.PROMOTE),
        screen(date(2026, 4, 5), "3", "2", VerdictKind.PROMOTE),
        screen(date(2026, 4, 26), "4", "2", VerdictKind.PROMOTE),
        screen(date(2026, 6, 21), "5", "4", VerdictKind.REJECT),
        screen(date(2026, 6, 28), "6", "4", VerdictKind.PROMOTE),
    ]
    for verdict in screens:
        ledger.record(verdict)
        write_report(settings.reports / f"{verdict.run_id}.html", verdict, EVALUATION, {})
    write_index(settings.reports / "index.html", ledger.verdicts())
    experiments.changed(Change(None, "1", Cause.SCREEN, "retrain scheduled__2026-01-11", _at(date(2026, 1, 12)), screens[0].reason), lambda: None)
    registry.point("anchor", "1")
    _over(ledger, experiments, ("exp-2026-01-19", "2", "1"), (date(2026, 1, 20), date(2026, 3, 30)), truths(0.011, 0.001), State.PROMOTED)
    _over(ledger, experiments, ("exp-2026-04-06", "3", "2"), (date(2026, 4, 7), date(2026, 4, 24)), truths(0.004, -0.06), State.REJECTED)
    _over(ledger, experiments, ("exp-2026-04-27", "4", "2"), (date(2026, 4, 28), date(2026, 6, 22)), truths(0.012, 0.002), State.PROMOTED)
    running(ledger, experiments)
    watched = Experiment("watch", "4", "1", State.RUNNING, (0.1,), ((date(2026, 6, 22), 0.1),), ALPHA, _at(NOW), _at(NOW), "")
    guards = [t for t in truths(0.01, 0.002) if t.role is not Role.SEGMENT and t.rule.margin]
    for verdict in looks_of(watched, NOW, guards, 11, "watch-4"):
        ledger.record(verdict)
    registry.point("previous", "2")
    registry.point("champion", "4")
    registry.point("challenger", "6")
    _explain(settings, date(2026, 6, 28))
    return _at(NOW) + timedelta(days=1)


def running(ledger: Ledger, experiments: Experiments) -> Experiment:
    """The experiment of version 6 against 4, at its third stage: sales are better, retention is not shown yet."""
    opened = Experiment(
        "exp-2026-06-29", "6", "4", State.RUNNING, RAMP, ((date(2026, 6, 30), RAMP[0]),), ALPHA, _at(date(2026, 6, 29)), _at(date(2026, 6, 29)), SCREENED
    )
    experiments.open(opened, "retrain asset_triggered__2026-06-29T00:10:00+00:00_Ab1", "2026-06-29")
    for day, share in ((date(2026, 7, 14), "25%"), (date(2026, 7, 29), "50%")):
        opened = opened.advanced(day, _at(day - timedelta(1)), f"Every guardrail is non-inferior by the margins of this stage; {share} from {day}.")
        experiments.move(opened, "experiment scheduled__" + (day - timedelta(1)).isoformat(), (day - timedelta(1)).isoformat())
    for verdict in looks_of(opened, NOW, truths(0.012, -0.0003, {"country DE": -0.004}), 5):
        ledger.record(verdict)
    return opened


SCREENED = "Passed the offline screen."


def _over(ledger: Ledger, experiments: Experiments, names: tuple[str, str, str], days: tuple[date, date], truth: Sequence[Truth], state: State) -> None:
    """A whole experiment and, where it promoted, the change of the champion."""
    first, last = days
    at = _at(first - timedelta(1))
    experiment = Experiment(*names, State.RUNNING, RAMP, ((first, RAMP[0]),), ALPHA, at, at, SCREENED)
    experiments.open(experiment, f"retrain scheduled__{first.isoformat()}")
    count = len(RAMP) if state is State.PROMOTED else 1
    for i in range(1, count):
        day = first + (last - first) / count * i
        experiment = experiment.advanced(day, _at(day - timedelta(1)), "Every guardrail is non-inferior by the margins of this stage.")
        experiments.move(experiment, f"experiment scheduled__{day.isoformat()}", day.isoformat())
    looks = looks_of(experiment, last, truth, len(names[0]) + first.month)
    for verdict in looks:
        ledger.record(verdict)
    reason = looks[-1].reason
    change = Change(names[2], names[1], Cause.EXPERIMENT, f"experiment scheduled__{last.isoformat()}", _at(last), reason, names[0])
    experiments.move(experiment.ended(state, _at(last), reason), change.by, last.isoformat(), change if state is State.PROMOTED else None)


def _register(registry: ModelRegistry, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"run_id": folder.name}))
    registry.register(folder, {"run_id": folder.name})


def _at(day: date) -> datetime:
    return datetime.combine(day, time(2), UTC)


def _arm(name: str, shares: tuple[float, float], expected: tuple[float, float, float], value: float, cost: float) -> dict[str, object]:
    sold, kept, out = expected
    terms = {"converted": value * (sold - 0.012), "retained": 300 * (kept - 0.951), "opted_out": -20 * out, "cost": -cost}
    return {
        "arm": name,
        "challenger": shares[0],
        "baseline": shares[1],
        "logged": round(9000 * shares[1]),
        "predicted": {"converted": sold, "retained": kept, "opted_out": out},
        "without": {"converted": 0.012, "retained": 0.951, "opted_out": 0.001},
        "observed": {"converted": sold * 0.95, "retained": kept - 0.001, "opted_out": out * 1.1},
        "worth": {**terms, "total": sum(terms.values())},
    }


NOTHING: dict[str, object] = {
    "arm": "none",
    "challenger": 0.18,
    "baseline": 0.12,
    "logged": 1080,
    "predicted": {"converted": 0.012, "retained": 0.951, "opted_out": 0.001},
    "without": {"converted": 0.012, "retained": 0.951, "opted_out": 0.001},
    "observed": {"converted": 0.0117, "retained": 0.95, "opted_out": 0.0011},
    "worth": {},
}
CAREER = _arm("career.success_story.web", (0.41, 0.22), (0.052, 0.953, 0.002), 60.0, 0.0)
HIRING = _arm("recruiter.save_time.email", (0.22, 0.25), (0.031, 0.9522, 0.004), 120.0, 0.02)
SALES = _arm("business.leads.push", (0.09, 0.2), (0.024, 0.9505, 0.009), 80.0, 0.01)
EVALUATION = {
    "alpha": 0.05,
    "metrics": {},
    "arms": [CAREER, HIRING, NOTHING, SALES],
    "segments": [
        {"segment": "tenure_days below 180", "share": 0.35, "arms": [CAREER, NOTHING, HIRING, SALES]},
        {"segment": "tenure_days from 180", "share": 0.65, "arms": [HIRING, CAREER, NOTHING]},
        {"segment": "interest career", "share": 0.4, "arms": [CAREER, NOTHING]},
        {"segment": "interest hiring", "share": 0.3, "arms": [HIRING, SALES, NOTHING]},
        {"segment": "country DE", "share": 0.25, "arms": [NOTHING, CAREER, HIRING]},
    ],
}


def _explain(settings: Settings, day: date) -> None:
    folder = settings.run_dir(day.isoformat())
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps(EVALUATION))
    docs = settings.data_docs / NOW.isoformat()
    docs.mkdir(parents=True)
    (docs / "index.html").write_text("<!doctype html><title>Data Docs</title><p>All expectations of the day passed.</p>")
