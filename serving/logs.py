"""Structured logs: one JSON object a line on standard error."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from time import monotonic

import msgspec

QUIET = 10.0
"""Seconds after a warning in which the same place of the code is not heard again, so that no caller can fill the log."""
_ENCODER = msgspec.json.Encoder(enc_hook=str)


def say(event: str, **fields: object) -> None:
    """Write one line: the instant, the event, and what belongs to it. Where nobody can write it, as on a full disk, what it tells of goes on all the same."""
    line = {"at": datetime.now(UTC), "event": event, **fields}
    with suppress(OSError, ValueError):  # also words that are no UTF-8
        sys.stderr.buffer.write(_ENCODER.encode(line) + b"\n")
        sys.stderr.buffer.flush()


class Heard(logging.Handler):
    """Python's own logging, of which warnings and errors become lines too. One place of the code says one in QUIET seconds, and how many it left out before."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._places: dict[tuple[str, int], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """logging's call."""
        place, at = (record.pathname, record.lineno), monotonic()
        until, left_out = self._places.get(place, (at, 0))
        if at < until:
            self._places[place] = until, left_out + 1
            return
        self._places[place] = at + QUIET, 0
        with suppress(Exception):  # a message that does not fit its arguments
            say("logged", level=record.levelname.lower(), logger=record.name, message=self.format(record), left_out=left_out)


def hear() -> None:
    """Make all of this process's logging and warnings lines of the log, whatever the libraries that were imported have set up for themselves."""
    for logger in [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]:
        logger.handlers.clear()
        logger.propagate = True
    logging.root.handlers[:] = [Heard()]
    logging.root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    os.environ["MLFLOW_CONFIGURE_LOGGING"] = "false"  # it is imported when it is first asked, and would write by itself
