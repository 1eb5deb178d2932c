"""Structured logs: one JSON object a line on standard error."""

from __future__ import annotations

import sys
from contextlib import suppress
from datetime import UTC, datetime

import msgspec

_ENCODER = msgspec.json.Encoder(enc_hook=str)


def say(event: str, **fields: object) -> None:
    """Write one line: the instant, the event, and what belongs to it. Where nobody can write it, as on a full disk, what it tells of goes on all the same."""
    line = {"at": datetime.now(UTC), "event": event, **fields}
    with suppress(OSError, ValueError):  # also words that are no UTF-8
        sys.stderr.buffer.write(_ENCODER.encode(line) + b"\n")
        sys.stderr.buffer.flush()
