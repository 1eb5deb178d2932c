"""The kill switch as a worker knows it: which arms nobody may be shown, as of a moment ago or not at all."""

from __future__ import annotations

from time import monotonic

from training.adapters.decision_log import DecisionLog

UNSEEN = 2.0
"""Seconds after which pauses that could not be read again are not known any more."""


class Pauses:
    """`look` is called by one thread, `known` by any."""

    def __init__(self, log: DecisionLog) -> None:
        self._log = log
        self._seen: tuple[frozenset[str] | None, float] = (None, 0.0)

    def look(self) -> None:
        """Read them. Raises what the log raises: then they are not known."""
        try:
            self._seen = (self._log.paused(), monotonic())
        except Exception:
            self._seen = (None, 0.0)
            raise

    @property
    def known(self) -> frozenset[str] | None:
        """The paused arms; None where nobody knows, also while a look hangs."""
        paused, at = self._seen
        return paused if monotonic() - at <= UNSEEN else None
