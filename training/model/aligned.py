"""Arrays that begin with a line of the processor's cache: NumPy's may begin anywhere in one, and then many wide loads of machine code touch two."""

from __future__ import annotations

from math import prod
from typing import TypeVar

import numpy as np
import numpy.typing as npt

LINE = 64
"""Bytes of a line on x86-64 and most ARM."""

T = TypeVar("T", bound=np.generic)


def aligned(shape: tuple[int, ...], kind: type[T]) -> npt.NDArray[T]:
    """An array of zeros."""
    size = prod(shape) * np.dtype(kind).itemsize
    room = np.zeros(size + LINE, dtype=np.uint8)
    begin = -room.ctypes.data % LINE
    return room[begin : begin + size].view(kind).reshape(shape)
