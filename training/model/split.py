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
    return np.asarray(points(member_ids, salt) < share, dtype=np.bool_)


def dealt(member_ids: Iterable[str], folds: int, salt: bytes) -> npt.NDArray[np.int64]:
    """A fold in [0, folds) for each id, in order; the same id always gets the same."""
    return (points(member_ids, salt) * folds).astype(np.int64)


def points(ids: Iterable[str], salt: bytes) -> npt.NDArray[np.float64]:
    """A number in [0, 1) for each id, in order, as good as random: the same id and salt always give the same."""
    codes, unique = pd.factorize(np.asarray(list(ids), dtype=object))
    found = np.array([_point(str(one), salt) for one in unique], dtype=np.float64)
    return np.asarray(found[codes], dtype=np.float64)


def _point(member_id: str, salt: bytes) -> float:
    digest = blake2b(member_id.encode(), digest_size=8, key=salt).digest()
    return int.from_bytes(digest, "big") / 2.0**64
