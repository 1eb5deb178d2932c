"""Slow decisions by group and day, as the workers of the service count them: what the guardrail on latency reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import NamedTuple

from sqlalchemy import Engine, func, select
from sqlalchemy.dialects import postgresql, sqlite

from training.adapters.log_engine import log_engine, reading, writing
from training.adapters.log_tables import service_time_table
from training.config.settings import Settings


class Key(NamedTuple):
    """UTC day of the decisions, their assignment group, and the model that took them (empty without one)."""

    day: date
    group: str
    model_version: str


class Tally(NamedTuple):
    """Decisions that took longer than `experiment.slow_ms`, and all."""

    slow: int
    decisions: int


Counts = Mapping[Key, Tally]


def add(engine: Engine, counts: Counts) -> None:
    """Add to what stands, in one transaction. Raises LogError where the log refuses: then nothing was added, unless only the acknowledgement was lost."""
    if not counts:
        return
    rows = [
        {"day": key.day.isoformat(), "assignment_group": key.group, "model_version": key.model_version, **tally._asdict()}
        for key, tally in sorted(counts.items())  # in one order for all, so that two workers never wait for each other
    ]
    new = (postgresql if engine.dialect.name == "postgresql" else sqlite).insert(service_time_table)
    t = service_time_table.c
    with writing(engine) as connection:
        connection.execute(
            new.on_conflict_do_update(
                index_elements=[t.day, t.assignment_group, t.model_version],
                set_={"slow": t.slow + new.excluded.slow, "decisions": t.decisions + new.excluded.decisions},
            ),
            rows,
        )


def slow(settings: Settings, first: date, last: date) -> dict[str, dict[date, Tally]]:
    """Group -> UTC day from `first` to `last` -> its decisions; nothing where there is no log. Raises LogError where it cannot be read."""
    from training.adapters.log_export import there  # with all that an export needs, which a worker does not

    if not there(settings):
        return {}
    t = service_time_table.c
    query = (
        select(t.assignment_group, t.day, func.sum(t.slow), func.sum(t.decisions))
        .where(t.day.between(first.isoformat(), last.isoformat()))
        .group_by(t.assignment_group, t.day)
    )
    engine, found = log_engine(settings.log_url), dict[str, dict[date, Tally]]()
    try:
        with reading(engine) as connection:
            for group, day, late, whole in connection.execute(query):
                found.setdefault(group, {})[date.fromisoformat(day)] = Tally(int(late), int(whole))
    finally:
        engine.dispose()
    return found
