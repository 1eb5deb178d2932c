"""Marts of a live experiment with known truth: who was decided for when, in which group, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fakes.registry import FakeRegistry
from training.adapters.experiments import SqlExperiments
from training.adapters.ledger import SqlLedger
from training.adapters.parquet import arrow_schema
from training.adapters.ports import Platform
from training.config.settings import Settings
from training.domain.assignment import Group, Split
from training.domain.experiment import Experiment, State
from training.domain.labels import OUTCOME_WINDOWS
from training.domain.schema import DECISION_OUTCOMES, MEMBER_FEATURES

FIRST = date(2026, 3, 2)
RATES = {"retained": 0.9, "converted": 0.1, "visited": 0.6, "opted_out": 0.03, "clicked": 0.2, "dismissed": 0.1}
Chance = Callable[[str, npt.NDArray[Any], npt.NDArray[np.int64], npt.NDArray[Any]], npt.NDArray[np.float64]]
"""(label, group, days since FIRST, country), one entry a decision -> the label's probability."""


def midnight(day: date) -> datetime:
    """00:00 UTC of the day."""
    return datetime.combine(day, time(), UTC)


def harmless(label: str, group: npt.NDArray[Any], day: npt.NDArray[np.int64], country: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Everyone alike."""
    del day, country
    return np.full(len(group), RATES[label])


def shifted(label: str, by: float, who: Group = Group.CHALLENGER, base: Chance = harmless, where: str = "") -> Chance:
    """`base`, but for `label` in group `who` (in country `where` alone, if given)."""

    def chance(name: str, group: npt.NDArray[Any], day: npt.NDArray[np.int64], country: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        hit = (group == who.value) & ((country == where) if where else True) & (name == label)
        return base(name, group, day, country) + by * hit

    return chance


@dataclass(frozen=True)
class World:
    """`members` of whom each comes about `visits` times in `days` from FIRST on; labels are known at the end of `until`."""

    members: int = 8_000
    days: int = 14
    until: int = 60
    visits: float = 2.0
    chance: Chance = harmless
    seed: int = 1
    logged: Mapping[str, str] = field(default_factory=dict)
    """Group as the hash says -> as it is logged."""

    @property
    def day(self) -> date:
        """The last day that is published."""
        return FIRST + timedelta(days=self.until)

    def write(self, marts: Path, split: Split) -> World:
        """Write decision_outcomes and member_features."""
        rng = np.random.default_rng(self.seed)
        member = rng.integers(0, self.members, int(self.members * self.visits))
        seconds = rng.integers(0, self.days * 86_400, len(member))
        day = seconds // 86_400
        kept = day <= self.until
        member, seconds, day = member[kept], seconds[kept], day[kept]
        group = np.array([split.group(f"m{m}", FIRST + timedelta(days=int(d))).value for m, d in zip(member, day, strict=True)])
        country = np.array(["DE", "FR", "NL", "PT"])[member % 4]
        at = np.datetime64(FIRST.isoformat(), "us") + seconds.astype("timedelta64[s]")
        as_of = np.datetime64((self.day + timedelta(days=1)).isoformat(), "us")
        columns: dict[str, Any] = {
            "decision_id": [f"d{i}" for i in range(len(member))],
            "member_id": [f"m{m}" for m in member],
            "decided_at": at,
            "surface": ["web"] * len(member),
            "assignment_group": [self.logged.get(g, g) for g in group],
        }
        for label, window in OUTCOME_WINDOWS.items():
            answer = rng.random(len(member)) < self.chance(label, group, day, country)
            known = at + np.timedelta64(window.closes) <= as_of
            columns[label] = pa.array(answer, mask=~known)
        columns["conversion_value"] = pa.array(10.0 * np.asarray(columns["converted"].fill_null(False)), mask=~np.asarray(columns["converted"].is_valid()))
        write(marts, "decision_outcomes", columns, len(member))
        ids = np.arange(self.members)
        features = {"country": np.array(["DE", "FR", "NL", "PT"])[ids % 4], "tenure_days": ids % 365 * 1.0}
        parts = [(d, {**features, "member_id": [f"m{i}" for i in ids]}) for d in (FIRST - timedelta(days=1), self.day)]
        table = pa.concat_tables([full(MEMBER_FEATURES, {**c, "day": [d] * len(ids), "event_timestamp": [midnight(d)] * len(ids)}, len(ids)) for d, c in parts])
        pq.write_table(table, marts / "member_features.parquet")
        return self


def full(table: Any, columns: Mapping[str, Any], rows: int) -> pa.Table:
    """All columns of `table` in its schema; those not given are NULL."""
    return pa.table(
        [pa.array(columns[f.name], type=f.type) if f.name in columns else pa.nulls(rows, f.type) for f in arrow_schema(table)], schema=arrow_schema(table)
    )


def write(marts: Path, name: str, columns: Mapping[str, Any], rows: int) -> None:
    """Write one mart."""
    marts.mkdir(parents=True, exist_ok=True)
    pq.write_table(full(DECISION_OUTCOMES, columns, rows), marts / f"{name}.parquet")


def experiment(*stages: tuple[int, float], ramp: tuple[float, ...] = (0.5,), alpha: float = 0.05) -> Experiment:
    """Challenger 2 against champion 1, at stages of (days after FIRST, share)."""
    begun = tuple((FIRST + timedelta(days=d), share) for d, share in (stages or ((0, 0.5),)))
    at = midnight(FIRST) - timedelta(hours=8)
    return Experiment("2026-03-01.2", "2", "1", State.RUNNING, ramp, begun, alpha, at, at, "passed the screen")


def platform(settings: Settings, running: Experiment | None = None) -> Platform:
    """Ledger and experiments on SQLite, a registry of folders, nothing else."""
    nothing = cast("Any", None)
    experiments = SqlExperiments(settings.ledger_url)
    if running is not None:
        experiments.open(running, "test")
    return Platform(nothing, nothing, nothing, nothing, FakeRegistry(settings.home / "models"), SqlLedger(settings.ledger_url), experiments)
