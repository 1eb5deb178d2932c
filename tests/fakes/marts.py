"""Small marts with the exact schema, as dbt exports them for the quality gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from tests.fakes.features import feature_row, write_mart
from training.config.settings import Settings
from training.domain.labels import OUTCOME_WINDOWS
from training.domain.schema import ARM_NUMERIC, MARTS, MEMBER_NUMERIC

Rows = list[dict[str, object]]
DAY = date(2026, 3, 1)
ONE = timedelta(days=1)


def end_of(day: date) -> datetime:
    """The midnight (UTC) that ends the day."""
    return datetime.combine(day + ONE, time(), UTC)


def members(day: date, number: int, **values: object) -> Rows:
    """`number` members at the end of `day`, every count 1."""
    full = {"country": "NL", "consents": "email", **dict.fromkeys(MEMBER_NUMERIC, 1.0), **values}
    return [feature_row(end_of(day), member_id=f"m{i}", **full) for i in range(number)]


def arms(day: date) -> Rows:
    """`none`, never seen."""
    return [feature_row(end_of(day), arm_id="none", **dict.fromkeys(ARM_NUMERIC, 0.0))]


def decision(decision_id: str, day: date = DAY, until: date = DAY, **values: object) -> dict[str, object]:
    """A decision in the evening of `day` as known at the end of `until`: mature labels are false unless given."""
    decided, as_of = end_of(day) - timedelta(hours=6), end_of(until)
    row: dict[str, object] = {"decision_id": decision_id, "member_id": "m0", "decided_at": decided, "day": day, "surface": "web", "arm_id": "none"}
    row |= {"propensity": 1.0, "feasible_arms": ["none"], "propensities": [1.0], "assignment_group": "log", "as_of": as_of}
    for name, window in OUTCOME_WINDOWS.items():
        row[f"{name}_matured_at"] = window.matured_at(decided)
        row[name] = False if window.matured_at(decided) <= as_of else None
    row["conversion_value"] = 0.0 if row["converted"] is False else None
    return {**row, **values}


def marts(until: date = DAY, days: int = 2) -> dict[str, Rows]:
    """Marts of `days` good days until `until`: four members, one arm and two decisions on each."""
    held = [until - k * ONE for k in reversed(range(days))]
    guard = {"day": until, "assignment_group": "log", "decisions": 2, "messages": 0, **{f"{name}_mature": 0 for name in OUTCOME_WINDOWS}}
    return {
        "member_features": [row for day in held for row in members(day, 4)],
        "arm_features": [row for day in held for row in arms(day)],
        "decision_outcomes": [decision(f"d{day}.{k}", day, until) for day in held for k in range(2)],
        "guardrail_daily": [guard],
    }


def write(settings: Settings, rows: Mapping[str, Sequence[Mapping[str, object]]]) -> Settings:
    """Write the marts as the candidate."""
    for name, content in rows.items():
        write_mart(settings.candidate, MARTS[name], content)
    return settings
