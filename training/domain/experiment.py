"""A live experiment: its states, and the steps between them that are legal. Instants are aware UTC, days are UTC days of the decisions' own clock."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum

from training.domain.errors import ConflictError


class State(StrEnum):
    """Where an experiment stands."""

    RUNNING = "running"
    PROMOTED = "promoted"
    REJECTED = "rejected"
    STOPPED = "stopped"
    """By hand, or because its assignment was broken."""
    ROLLED_BACK = "rolled_back"


LEGAL: dict[State, frozenset[State]] = {
    State.RUNNING: frozenset({State.RUNNING, State.PROMOTED, State.REJECTED, State.STOPPED}),
    State.PROMOTED: frozenset({State.ROLLED_BACK}),
    State.REJECTED: frozenset(),
    State.STOPPED: frozenset(),
    State.ROLLED_BACK: frozenset(),
}
"""From RUNNING to RUNNING is the next stage of the ramp."""


@dataclass(frozen=True)
class Experiment:
    """One challenger against one champion. `stages` are (first day, share) as far as the ramp has come; `alpha` was fixed when it was opened.

    `revision` counts its changes: whoever changes it says which revision was read, so of two only one does.
    """

    experiment_id: str
    challenger: str
    champion: str
    state: State
    ramp: tuple[float, ...]
    stages: tuple[tuple[date, float], ...]
    alpha: float
    opened_at: datetime
    changed_at: datetime
    reason: str
    revision: int = 0

    @property
    def running(self) -> bool:
        """Whether the challenger decides for its share."""
        return self.state is State.RUNNING

    @property
    def last(self) -> bool:
        """Whether the ramp has reached its last stage."""
        return len(self.stages) == len(self.ramp)

    def advanced(self, first: date, at: datetime, reason: str) -> Experiment:
        """At the next stage from the day `first` on. Raises ConflictError past the last one, at a day before the present stage, or where it is over."""
        if self.last or first <= self.stages[-1][0]:
            raise ConflictError(f"Experiment {self.experiment_id} cannot go past stage {len(self.stages)} of {len(self.ramp)} on {first}. Read it again.")
        return self._moved(State.RUNNING, at, reason, (*self.stages, (first, self.ramp[len(self.stages)])))

    def ended(self, state: State, at: datetime, reason: str) -> Experiment:
        """Over, for `reason`. Raises ConflictError where that is not legal: only the last stage can promote, only a promotion can be rolled back."""
        if state is State.RUNNING or (state is State.PROMOTED and not self.last):
            raise ConflictError(f"Experiment {self.experiment_id} at stage {len(self.stages)} of {len(self.ramp)} cannot become {state.value}.")
        return self._moved(state, at, reason, self.stages)

    def _moved(self, state: State, at: datetime, reason: str, stages: tuple[tuple[date, float], ...]) -> Experiment:
        if state not in LEGAL[self.state]:
            raise ConflictError(f"Experiment {self.experiment_id} is {self.state.value}, and from there nothing leads to {state.value}. Read the ledger again.")
        return replace(self, state=state, stages=stages, changed_at=at, reason=reason, revision=self.revision + 1)


class Cause(StrEnum):
    """Why another version came into charge."""

    SCREEN = "screen"
    """Stage A alone: the first champion, or live judging is off."""
    EXPERIMENT = "experiment"
    WATCH = "watch"
    """Harm was found against the holdback."""
    HAND = "hand"
    ANCHOR = "anchor"
    """The holdback gets another version by hand; the champion stays, and the watch over it begins anew."""


@dataclass(frozen=True)
class Change:
    """Another champion: `before` and `after` are versions, None where nothing was, or is, in charge; the same one where the anchor was renewed. `by` is a
    DAG run or a person.
    """

    before: str | None
    after: str | None
    cause: Cause
    by: str
    at: datetime
    reason: str
    experiment_id: str = ""


@dataclass(frozen=True)
class Event:
    """One change of an experiment, as the ledger keeps it. `key` is the day whose look led to it, empty by hand; `stage` counts from 1."""

    experiment_id: str
    revision: int
    key: str
    state: State
    stage: int
    at: datetime
    by: str
    reason: str
