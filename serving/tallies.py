"""What is counted, added up in memory until it is written: a counter of Prometheus' library takes as long as a look at the online store."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter as Numbers

from prometheus_client import Counter, Histogram


class Counts:
    """Of a `counter` with labels. Any thread may `add`."""

    def __init__(self, counter: Counter) -> None:
        self._counter, self._lock = counter, threading.Lock()
        self._seen: Numbers[tuple[str, ...]] = Numbers()

    def add(self, *labels: str) -> None:
        """One more."""
        with self._lock:
            self._seen[labels] += 1

    def flush(self) -> None:
        """Into the counter."""
        with self._lock:
            seen, self._seen = self._seen, Numbers()
        for labels, count in seen.items():
            self._counter.labels(*labels).inc(count)


class Spread:
    """Of one `histogram`, whose labels are given. Any thread may `observe`."""

    def __init__(self, histogram: Histogram) -> None:
        self._histogram, self._lock = histogram, threading.Lock()
        self._bounds: list[float] = histogram._upper_bounds  # noqa: SLF001 - with infinity, as the library added it
        self._counts, self._sum = [0] * len(self._bounds), 0.0

    def observe(self, value: float) -> None:
        """One more."""
        with self._lock:
            self._counts[bisect_left(self._bounds, value)] += 1
            self._sum += value

    def flush(self) -> None:
        """Into the histogram."""
        with self._lock:
            counts, self._counts = self._counts, [0] * len(self._bounds)
            whole, self._sum = self._sum, 0.0
        if any(counts):
            self._histogram._sum.inc(whole)  # noqa: SLF001 - `observe` takes one at a time
            for bucket, count in zip(self._histogram._buckets, counts, strict=True):  # noqa: SLF001 - as above
                if count:
                    bucket.inc(count)
