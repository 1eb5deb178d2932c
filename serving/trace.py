"""The trace that a request belongs to, as W3C's Trace Context has it (https://www.w3.org/TR/trace-context/): passed back, logged, and kept with decisions."""

from __future__ import annotations

import re

from starlette.requests import Request

HEADER = "traceparent"
_CONTEXT = re.compile("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_ID = slice(3, 35)


def context(request: Request) -> str:
    """The header of a request; empty where there is none, or none that W3C allows."""
    said = request.headers.get(HEADER, "")
    return said if said and _CONTEXT.fullmatch(said) else ""


def trace_id(request: Request) -> str:
    """The id of its trace, 32 hexadecimal digits; empty without one."""
    return context(request)[_ID]
