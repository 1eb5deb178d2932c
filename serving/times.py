"""How many decisions were slow, by group: counted in memory as they are answered, and added to the log every few seconds by a thread of its own."""

from __future__ import annotations

import threading
from collections import defaultdict
from datetime import UTC

from serving.beat import Beat
from serving.logs import say
from training.adapters import service_times
from training.adapters.decision_log import DecisionLog
from training.adapters.service_times import Counts, Key, Tally
from training.domain.errors import LogError
from training.domain.served import Served

EVERY = 5.0
"""Seconds between two additions, and the most that a killed worker forgets to have counted."""


class Times:
    """`count` from the thread that answers, between `start` and `stop`; what cannot be added is added later."""

    def __init__(self, log: DecisionLog, slow_seconds: float) -> None:
        self._log, self._limit = log, slow_seconds
        self._lock = threading.Lock()
        self._counts: defaultdict[Key, list[int]] = defaultdict(lambda: [0, 0])
        self._failed = ""
        beat = Beat("times", EVERY, self.flush)
        self.start, self.stop = beat.start, beat.stop

    def count(self, served: Served, seconds: float) -> None:
        """A decision that was durable `seconds` after it had been asked for."""
        key = Key(served.asked.at.astimezone(UTC).date(), served.group, served.model_version)
        with self._lock:
            tally = self._counts[key]
            tally[0] += seconds > self._limit
            tally[1] += 1

    def flush(self) -> None:
        """Add what was counted; it is kept where the log refuses."""
        with self._lock:
            taken, self._counts = self._counts, defaultdict(lambda: [0, 0])
        counts: Counts = {key: Tally(slow, whole) for key, (slow, whole) in taken.items()}
        try:
            service_times.add(self._log.engine, counts)
            self._failed = ""
        except LogError as error:
            self._back(counts)
            if str(error) != self._failed:
                say("trouble", part="times", error=str(error))
            self._failed = str(error)

    def _back(self, counts: Counts) -> None:
        with self._lock:
            for key, tally in counts.items():
                self._counts[key][0] += tally.slow
                self._counts[key][1] += tally.decisions
