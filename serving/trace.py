"""The trace that a request belongs to, as W3C's Trace Context has it (https://www.w3.org/TR/trace-context/): passed back, logged, and kept with decisions."""

from __future__ import annotations

import re

from starlette.requests import Request

HEADER = "traceparent"
_CONTEXT = re.compile("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_ID = slice(3, 35)


def context(request: Request) -> str:
    """The header of a request; empty where there is none, or none that W3C allows."""
    return valid(request.headers.get(HEADER, ""))


def valid(said: str) -> str:
    """The same of what its header says."""
    return said if said and _CONTEXT.fullmatch(said) else ""


def trace_id(request: Request) -> str:
    """The id of its trace, 32 hexadecimal digits; empty without one."""
    return id_of(context(request))


def id_of(context: str) -> str:
    """The same of its context."""
    return context[_ID]
