"""Which headers are a trace."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from serving.trace import context, trace_id

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def asked(header):
    """A request that carries it."""
    return Request({"type": "http", "headers": [] if header is None else [(b"traceparent", header.encode("latin-1"))]})


def test_a_trace_is_passed_on_and_named():
    """The header as it came, and the id within it."""
    header = f"00-{ID}-{SPAN}-01"
    assert (context(asked(header)), trace_id(asked(header))) == (header, ID)


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "x" * 8_000, f"00-{ID}-{SPAN}-01\n", f"00-{ID}-{SPAN}-01-more", f"00-{ID.upper()}-{SPAN}-01", f"00-{ID}-{SPAN}"),
        *(f"ff-{ID}-{SPAN}-01", f"00-{'0' * 32}-{SPAN}-01", f"00-{ID}-{'0' * 16}-01", "\xff\xfe"),
    ],
)
def test_what_is_no_trace_is_nothing(header):
    """Other lengths, forbidden versions, and ids of zeros alone."""
    assert (context(asked(header)), trace_id(asked(header))) == ("", "")
