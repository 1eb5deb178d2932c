"""Counting in memory equals counting one by one."""

from __future__ import annotations

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from serving.tallies import Counts, Spread

BOUNDS = (0.1, 1.0, 10.0)


def test_what_is_flushed_is_what_was_observed():
    """On the bounds, between and beyond them, over several flushes: the same text as the library's own `observe` and `inc` give."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    names = {ours: "ours", theirs: "theirs"}  # where several processes count, one name is one number
    each = [
        (Histogram(f"{n}_t", "h", ["stage"], buckets=BOUNDS, registry=r).labels("a"), Counter(f"{n}_n", "c", ["reason", "group"], registry=r))
        for r, n in names.items()
    ]
    spread, counts = Spread(each[0][0]), Counts(each[0][1])
    for turn in range(3):
        for value in (0.0, 0.1, 0.5, 1.0, np.nextafter(1.0, 2.0), 10.0, 11.0)[turn:]:
            spread.observe(value)
            counts.add("r", str(turn))
            each[1][0].observe(value)
            each[1][1].labels("r", str(turn)).inc()
        spread.flush()
        counts.flush()
    spread.flush()
    counts.flush()
    said = [[line.replace(n.encode(), b"") for line in generate_latest(r).splitlines() if b"_created" not in line] for r, n in names.items()]
    assert said[0] == said[1]
    assert b'_n_total{group="2",reason="r"} 5.0' in said[0]
