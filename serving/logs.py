"""Structured logs: one JSON object a line on standard error."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import msgspec

_ENCODER = msgspec.json.Encoder(enc_hook=str)


def say(event: str, **fields: object) -> None:
    """Write one line: the instant, the event, and what belongs to it."""
    line = {"at": datetime.now(UTC), "event": event, **fields}
    sys.stderr.buffer.write(_ENCODER.encode(line) + b"\n")
    sys.stderr.buffer.flush()
