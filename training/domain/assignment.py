"""Who belongs to which group: a function of a salted hash of the member and of the day alone, so that every process, today and after a restart, says the same.

Places are uniform in [0, 1). Holdback takes the lowest, random control the highest places of one salt, so either share can grow without moving a member
of the other. Everyone else takes part in the experiment by a place of its own salt: the challenger the lowest, the champion the rest.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from hashlib import sha256


class Group(StrEnum):
    """Whose decisions a member gets, as logged with each."""

    CHAMPION = "champion"
    CHALLENGER = "challenger"
    CONTROL = "control"
    HOLDBACK = "holdback"


def place(salt: str, member_id: str) -> float:
    """Place of the member in [0, 1), uniform over members and independent between salts."""
    return int.from_bytes(sha256(f"{salt}:{member_id}".encode()).digest()[:8], "big") / 2**64


@dataclass(frozen=True)
class Split:
    """How members are split. `stages` are (first UTC day, share of the challenger) in order; the share is 0 before the first, and without an experiment."""

    salt: str
    holdback: float
    control: float
    experiment: str = ""
    stages: tuple[tuple[date, float], ...] = ()

    def share(self, day: date) -> float:
        """The challenger's share on `day`, of the members outside holdback and control."""
        return next((share for first, share in reversed(self.stages) if first <= day), 0.0)

    def stage(self, day: date) -> int:
        """How many stages have begun by `day`; 0 before the first, and without an experiment."""
        return sum(first <= day for first, _ in self.stages)

    def group(self, member_id: str, day: date) -> Group:
        """The group of the member on `day`. As shares only grow, nobody leaves the challenger while an experiment runs."""
        fixed = place(self.salt, member_id)
        if fixed < self.holdback:
            return Group.HOLDBACK
        if fixed >= 1.0 - self.control:
            return Group.CONTROL
        share = self.share(day)
        return Group.CHALLENGER if share > 0.0 and place(self.experiment, member_id) < share else Group.CHAMPION


def counted(place_: float, share: float) -> bool:
    """Whether a member at `place_` of the experiment's salt is compared while the challenger has `share`: all of its members, and as many of the champion's
    from the other end, so that those between are new when the ramp reaches them.
    """
    return place_ < share or place_ >= max(share, 1.0 - share)
