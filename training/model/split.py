"""Which members are kept from training. The split is by member, so that no member's later decisions betray the earlier ones."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt
import pandas as pd

SALT = b"rightmatch/holdout/v1"
"""A salt of its own, so that this split is independent of every experiment's assignment."""


def is_holdout(member_ids: Iterable[str], share: float, salt: bytes = SALT) -> npt.NDArray[np.bool_]:
    """True where a member belongs to the held-out `share`, one value an id in order; the same id always answers the same.

    A member held out at a share is held out at every larger share too. Splits with another `salt` are independent.
    """
    codes, unique = pd.factorize(np.asarray(list(member_ids), dtype=object))
    points = np.array([_point(str(member), salt) for member in unique], dtype=np.float64)
    return np.asarray(points[codes] < share, dtype=np.bool_)


def dealt(member_ids: Iterable[str], folds: int, salt: bytes) -> npt.NDArray[np.int64]:
    """A fold in [0, folds) for each id, in order; the same id always gets the same."""
    codes, unique = pd.factorize(np.asarray(list(member_ids), dtype=object))
    found = np.array([int(_point(str(member), salt) * folds) for member in unique], dtype=np.int64)
    return np.asarray(found[codes], dtype=np.int64)


def _point(member_id: str, salt: bytes) -> float:
    digest = blake2b(member_id.encode(), digest_size=8, key=salt).digest()
    return int.from_bytes(digest, "big") / 2.0**64
