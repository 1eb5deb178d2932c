"""What one day hands to the next, and how it is kept so that a longer run goes on where a shorter one stopped."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sources.simulated.members import Members
from sources.simulated.world import Ints, World

CLICK, DISMISS, CONVERSION, OPT_OUT = range(4)
KINDS = ("click", "dismiss", "conversion", "opt_out")
WEEK = 7


@dataclass(frozen=True)
class Events:
    """Outcomes, one row each: kind code, member index, day of the decision, arm index, product bought (-1: none), instant in us since 1970."""

    kind: Ints
    member: Ints
    decision_day: Ints
    arm: Ints
    product: Ints
    at: Ints

    def take(self, mask: NDArray[np.bool_]) -> Events:
        """The rows where `mask` is true."""
        return Events(*(getattr(self, f.name)[mask] for f in fields(self)))

    def plus(self, other: Events) -> Events:
        """Both, in order."""
        return Events(*(np.concatenate([getattr(self, f.name), getattr(other, f.name)]) for f in fields(self)))


@dataclass(frozen=True)
class State:
    """After day `day` (-1: before the first). `messages` is (7, members), row d % 7; `since` is (products, members), the day a subscription began or -1."""

    day: int
    lapsed: NDArray[np.bool_]
    consents: NDArray[np.uint8]
    messages: NDArray[np.uint8]
    since: NDArray[np.int32]
    pending: Events

    def owned(self) -> Ints:
        """Bit mask of each member's products."""
        bits = np.int64(1) << np.arange(len(self.since), dtype=np.int64)
        mask: Ints = ((self.since >= 0) * bits[:, None]).sum(axis=0)
        return mask


def no_events() -> Events:
    """No rows."""
    return Events(*(np.zeros(0, dtype=np.int64) for _ in fields(Events)))


def first_state(world: World, members: Members) -> State:
    """Before the first day: nobody was messaged, nobody subscribes."""
    n = world.members
    since = np.full((len(world.product_ids), n), -1, dtype=np.int32)
    return State(-1, np.zeros(n, dtype=bool), members.consents.copy(), np.zeros((WEEK, n), dtype=np.uint8), since, no_events())


def withdraw(consents: NDArray[np.uint8], bits: Ints, members: Ints) -> NDArray[np.uint8]:
    """Consents after those of `members` lose `bits` (a member may come twice)."""
    changed = consents.copy()
    np.bitwise_and.at(changed, members, (~bits & 0xFF).astype(np.uint8))
    return changed


def save_state(state: State, folder: Path) -> None:
    """Write `state.npz` aside, then rename. Plain arrays, no pickle."""
    arrays = {f.name: getattr(state, f.name) for f in fields(State) if f.name not in {"day", "pending"}}
    arrays |= {f"pending_{f.name}": getattr(state.pending, f.name) for f in fields(Events)}
    aside = folder / "state.writing.npz"
    np.savez(aside, day=np.int64(state.day), **arrays)
    aside.replace(folder / "state.npz")


def load_state(folder: Path) -> State | None:
    """The kept state, or None where there is none."""
    path = folder / "state.npz"
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as kept:
        pending = Events(*(kept[f"pending_{f.name}"] for f in fields(Events)))
        return State(int(kept["day"]), kept["lapsed"], kept["consents"], kept["messages"], kept["since"], pending)


def messages_of_week(state: State) -> Ints:
    """Messages of the last seven days, per member."""
    count: Ints = state.messages.sum(axis=0, dtype=np.int64)
    return count


def lapse(state: State, members: Ints) -> State:
    """State after `members` left."""
    lapsed = state.lapsed.copy()
    lapsed[members] = True
    return replace(state, lapsed=lapsed)
