"""Members' features with a time budget: a store that is slow or down delays no answer."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from serving.decide import Features
from training.domain.served import Reason

NOBODY = "nobody"
WARM = 10.0
"""Most seconds that `warm` waits; a worker answers then, with a store that is down."""


class Store(Protocol):
    """The part of `training.adapters.ports.FeatureStore` that is asked here."""

    def online_members(self, member_ids: Sequence[str]) -> list[dict[str, object]]:
        """One dict a member in order, with `event_timestamp`; {} where unknown."""


class Lookup:
    """Asks `store` in a thread of its own and waits for `budget` seconds at most.

    While a late lookup has not ended nothing else is asked (the breaker is open): what waits behind it would be late too.
    """

    def __init__(self, store: Store, budget: float) -> None:
        self._store, self._budget = store, budget
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="lookup")
        self._stuck: Future[list[dict[str, object]]] | None = None
        self._lock = threading.Lock()

    def members(self, ids: Sequence[str]) -> Mapping[str, Features | Reason]:
        """Of each id its features, or why there are none. Never raises for a store that fails."""
        with self._lock:
            if self._stuck is not None and not self._stuck.done():
                return dict.fromkeys(ids, Reason.STORE_DOWN)
            asked = self._thread.submit(self._store.online_members, ids)
            try:
                rows = asked.result(self._budget)
            except Late:
                self._stuck = asked
                return dict.fromkeys(ids, Reason.STORE_DOWN)
            except Exception:  # noqa: BLE001 - whatever a store raises, the member gets the safe answer, and the reason says that the store is down
                return dict.fromkeys(ids, Reason.STORE_DOWN)
        return {member: _features(row) for member, row in zip(ids, rows, strict=True)}

    def warm(self) -> None:
        """Ask once, for nobody and without a budget: the first question opens connections and reads definitions. Later ones find what fails."""
        with self._lock, suppress(Exception):
            self._thread.submit(self._store.online_members, [NOBODY]).result(WARM)

    @property
    def open(self) -> bool:
        """Whether the breaker is open."""
        return self._stuck is not None and not self._stuck.done()

    def close(self) -> None:
        """Ask no more; a stuck lookup is left behind."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def _features(row: dict[str, object]) -> Features | Reason:
    at = row.pop("event_timestamp", None)
    if not isinstance(at, datetime):
        return Reason.UNKNOWN_MEMBER
    return Features(row, at)  # type: ignore[arg-type]  # the store's columns are those of the schema
