"""Loops as machine code: compiled for given types when they are imported, and kept for the next process beside their file or in the user's cache folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import numba
from numba import types

F = TypeVar("F", bound=Callable[..., None])


def compiled(*arguments: object) -> Callable[[F], F]:
    """As machine code for these types; kept for the next process where a cache folder can be written.

    Elements are indexed down to the last axis within the loops: a row taken out first is counted as a reference, which costs more than what is done with it.
    """

    def decorate(function: F) -> F:
        made = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})(function)
        with suppress(RuntimeError):  # no folder to keep it in: it is compiled in each process
            made.enable_caching()
        made.compile(types.void(*arguments))
        made.disable_compile()
        found: F = made
        return found

    return decorate


def record(kind: type, *fields: object) -> object:
    """The type of a NamedTuple `kind` whose fields have these types."""
    return types.NamedUniTuple(fields[0], len(fields), kind) if len(set(fields)) == 1 else types.NamedTuple(fields, kind)
