"""What the steps need from the outside, one verb each. Real adapters stand beside this file, fakes in `tests/fakes`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Protocol

import pandas as pd

from training.domain.experiment import Change, Event, Experiment
from training.domain.nouns import Verdict


@dataclass(frozen=True)
class LandingReport:
    """Rows landed per table, and the days that they came from (empty where nothing was new). `newest` is the last day of which anything has ever landed."""

    rows: Mapping[str, int]
    days: tuple[date, ...]
    newest: date


@dataclass(frozen=True)
class BuildReport:
    """What dbt built, as of the end of `until`; `invocation_id` is dbt's own, for lineage; `stale` names raw tables that have fallen behind."""

    until: date
    invocation_id: str
    models: int
    tests: int
    seconds: float
    stale: tuple[str, ...] = ()


@dataclass(frozen=True)
class Expectation:
    """One expectation's result; `unexpected` counts rows, `samples` shows up to ten of their values."""

    name: str
    table: str
    column: str
    critical: bool
    passed: bool
    unexpected: int = 0
    samples: tuple[str, ...] = ()


@dataclass(frozen=True)
class QualityReport:
    """All expectations of one day and the page that shows them."""

    expectations: tuple[Expectation, ...]
    page: Path | None = None

    @property
    def failures(self) -> tuple[Expectation, ...]:
        """Critical expectations that failed: any of these blocks the day."""
        return tuple(e for e in self.expectations if e.critical and not e.passed)


class LandingZone(Protocol):
    """Validates what sources left in the inbox and lands it whole or not at all."""

    def land(self, until: date) -> LandingReport: ...  # noqa: D102 - the class says it


class Warehouse(Protocol):
    """Features and outcomes: built and tested first, published to their readers once they are validated."""

    def build(self, day: date) -> BuildReport:
        """Build as of the end of `day`, or of the newest built day where that is later, and keep the marts as a candidate."""

    def publish(self) -> None:
        """Make the candidate what all readers read; safe to repeat. Raises NotReadyError where nothing was built."""


class QualityGate(Protocol):
    """Checks the candidate: `day` and every day since the last published one; a failure is a value, not an exception."""

    def validate(self, day: date) -> QualityReport: ...  # noqa: D102


class FeatureStore(Protocol):
    """Point-in-time training frames and online reads."""

    def apply(self) -> None:
        """Register the definitions of `feature_repo`."""

    def materialize(self, until: datetime) -> int:
        """Bring the online store up to `until`; returns rows written."""

    def training_frame(self, decisions: pd.DataFrame) -> pd.DataFrame:
        """`decisions` (member_id, arm_id, event_timestamp and anything else) plus the features known at each row's event_timestamp.

        Member features keep their names; arm features are prefixed `arm_`. Row order is kept.
        """

    @property
    def local(self) -> bool:
        """Whether what is online lies in a file of this machine's, whose readers wait for nobody."""

    def online_members(self, member_ids: Sequence[str]) -> list[dict[str, object]]:
        """Online member features, one dict a member in order, plus `consents` and `event_timestamp`; unknown members give {}."""

    def online_arms(self, arm_ids: Sequence[str]) -> list[dict[str, object]]:
        """Online arm features (unprefixed names), one dict an arm in order; unknown arms give {}."""


class ModelRegistry(Protocol):
    """Versions of models (folders of safetensors and JSON) and the aliases that say which one is in charge."""

    def register(self, folder: Path, facts: Mapping[str, str]) -> str:
        """Store a copy of `folder`; the same facts["run_id"] with the same content again is the same version, other content is another one."""

    def point(self, alias: str, version: str) -> None:
        """Move `alias` (champion, challenger) to `version`."""

    def version(self, alias: str) -> str | None:
        """Version behind `alias`, or None."""

    def peek(self, alias: str) -> str | None:
        """The same, for those who ask all the time."""

    def fetch(self, version: str) -> Path:
        """Folder of that version."""


class Ledger(Protocol):
    """Every verdict with its evidence; recording the same run_id again replaces the row."""

    def record(self, verdict: Verdict) -> None: ...  # noqa: D102

    def verdicts(self) -> list[Verdict]:
        """Of the screen, newest first."""

    def looks(self, subject: str) -> list[Verdict]:
        """Of one experiment, or of the watch over one version, oldest first."""


class Experiments(Protocol):
    """Live experiments, one at a time, and every change of the champion. Each change is one transaction; of two at once one raises ConflictError."""

    def all(self) -> list[Experiment]:
        """Newest first."""

    def running(self) -> Experiment | None:
        """The one that runs."""

    def events(self, experiment_id: str) -> list[Event]:
        """Its changes, oldest first."""

    def open(self, experiment: Experiment, by: str, key: str = "") -> None:
        """Begin it, if none runs."""

    def move(self, after: Experiment, by: str, key: str = "", change: Change | None = None, effect: Callable[[], None] = ...) -> None:
        """From the revision before to `after`, with the change of the champion and its `effect` on the alias; a `key` (day) changes an experiment once."""

    def changed(self, change: Change, effect: Callable[[], None]) -> None:
        """A change of the champion that no experiment led to."""

    def begun(self) -> tuple[Change, str] | None:
        """The change and its key that somebody began and that is not recorded."""

    def give_up(self, change: Change) -> bool:
        """Forget that it was begun; whether it still was."""

    def untold(self, run: str) -> list[Change]:
        """Roll-backs by the watch that no other run than `run` told of, newest first."""

    def tell(self, run: str) -> None:
        """Note that `run` tells of them."""

    def changes(self) -> list[Change]:
        """Who was in charge, newest first."""


@dataclass(frozen=True)
class Platform:
    """The adapters that a step works with; `bootstrap.platform()` wires the real ones."""

    landing: LandingZone
    warehouse: Warehouse
    quality: QualityGate
    features: FeatureStore
    registry: ModelRegistry
    ledger: Ledger
    experiments: Experiments
