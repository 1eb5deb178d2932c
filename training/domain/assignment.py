"""Who belongs to which group: decided by a salted hash of the member alone, so that every process, today and after a restart, says the same."""

from __future__ import annotations

from hashlib import sha256


def place(salt: str, member_id: str) -> float:
    """Place of the member in [0, 1), uniform over members and independent between salts.

    A group owns an interval of places, so a larger share adds members to it and moves none out.
    """
    return int.from_bytes(sha256(f"{salt}:{member_id}".encode()).digest()[:8], "big") / 2**64


def chosen(salt: str, member_id: str, share: float) -> bool:
    """Whether the member belongs to the first `share` of members under `salt`."""
    return place(salt, member_id) < share
