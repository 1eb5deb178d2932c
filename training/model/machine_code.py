"""Loops as machine code: compiled for given types when they are imported, and kept for the next process beside their file or in the user's cache folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from types import FunctionType
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba import types
from numba.core.dispatcher import Dispatcher

F = TypeVar("F", bound=Callable[..., object])
FLAGS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
"""With numba's own model an exact division would be checked for 0; `contract` lets a product and a sum become one instruction, and reorders nothing."""


def compiled(*arguments: object, returns: object = types.void) -> Callable[[F], F]:
    """As machine code for these types; kept for the next process where a cache folder can be written.

    Elements are indexed down to the last axis within the loops: a row taken out first is counted as a reference, which costs more than what is done with it.
    """

    def decorate(function: F) -> F:
        function.__qualname__ = named(function)
        made = numba.njit(**FLAGS)(function)
        with suppress(RuntimeError):  # no folder to keep it in: it is compiled in each process
            made.enable_caching()
        made.compile(cast("Any", returns)(*arguments))
        made.disable_compile()
        found: F = made
        return found

    return decorate


def named(function: Callable[..., object]) -> str:
    """The name of `function` with a mark of what goes into its code and is not in its file: flags, constants, and what it calls. numba keeps code by name,
    place, the file's time and the bytecode, and would take old code for new where one of these is another.
    """
    plain = cast("FunctionType", function)
    known = {name: plain.__globals__.get(name) for name in sorted(plain.__code__.co_names)}
    constants = [(name, repr(value)) for name, value in known.items() if isinstance(value, int | float | np.generic)]
    called = [value.py_func.__qualname__ for value in known.values() if isinstance(value, Dispatcher)]
    flags = [(name, sorted(value) if isinstance(value, set) else value) for name, value in sorted(FLAGS.items())]
    return f"{plain.__qualname__}-{sha256(repr((flags, constants, called)).encode()).hexdigest()[:12]}"


def record(kind: type, *fields: object) -> object:
    """The type of a NamedTuple `kind` whose fields have these types."""
    return types.NamedUniTuple(fields[0], len(fields), kind) if len(set(fields)) == 1 else types.NamedTuple(fields, kind)
