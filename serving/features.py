"""Members' features with a time budget: a store that is slow or down delays no answer.

The store is asked in the caller's own thread, for a hand-over to another one and back costs as much as the look itself. What a thread is waiting for cannot be
taken from it; so where the budget runs out somebody else goes on in its place, and it finds on its return that it was left behind.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Protocol

from serving.decide import Features
from training.domain.served import Reason

NOBODY = "nobody"
WARM = 10.0
"""Most seconds that `warm` waits; a worker answers then, with a store that is down."""

Found = Mapping[str, Features | Reason]


class Late(Exception):  # noqa: N818 - it says what is so
    """The last look took longer than its budget: who cannot be left behind must not look now."""


class Store(Protocol):
    """The part of `training.adapters.ports.FeatureStore` that is asked here."""

    @property
    def local(self) -> bool:
        """Whether it is a file of this machine's, which nobody waits for."""

    def online_members(self, member_ids: Sequence[str]) -> list[dict[str, object]]:
        """One dict a member in order, with `event_timestamp`; {} where unknown."""


@dataclass(frozen=True, eq=False)
class _Look:
    """One question to the store, until when it may take, and what is done then."""

    ids: Sequence[str]
    until: float
    late: Callable[[Found], None]


class Lookup:
    """Asks `store` for `budget` seconds at most. One caller at a time.

    While a late look has not ended nothing else is asked (the breaker is open): what is asked meanwhile would be late too.
    """

    def __init__(self, store: Store, budget: float) -> None:
        self._store, self._budget = store, budget
        self._lock = threading.Lock()
        self._now: _Look | None = None
        self._stuck: _Look | None = None
        self._slow = False
        """Whether the last look took longer than the budget."""
        self._wanted = threading.Event()
        self._closed = False
        threading.Thread(target=self._watch, name="lookup budget", daemon=True).start()

    @property
    def local(self) -> bool:
        """Whether the store can be asked without a budget."""
        with suppress(Exception):
            return self._store.local
        return False

    def at_once(self, ids: Sequence[str]) -> Found:
        """As `members`, of a store that is local. Raises Late while looks take too long: `members` finds out when they do no more."""
        if self._slow or self._stuck is not None:
            raise Late
        return self._ask(ids)

    def members(self, ids: Sequence[str], late: Callable[[Found], None]) -> Found | None:
        """Of each id its features, or why there are none. Never raises for a store that fails.

        None where the budget ran out: `late` was called meanwhile, by another thread, with what is to be answered, and must have seen to all the rest. It must
        return at once.
        """
        if self._stuck is not None:
            return dict.fromkeys(ids, Reason.STORE_DOWN)
        look = self._now = _Look(ids, monotonic() + self._budget, late)
        if not self._wanted.is_set():
            self._wanted.set()
        found = self._ask(ids)
        with self._lock:
            if self._stuck is look:
                self._stuck = None
                return None
            self._now = None
        return found

    def warm(self) -> None:
        """Ask once, for nobody and without a budget: the first question opens connections and reads definitions. Later ones find what fails."""

        def ask() -> None:
            with suppress(Exception):
                self._store.online_members([NOBODY])

        thread = threading.Thread(target=ask, name="lookup warm", daemon=True)
        thread.start()
        thread.join(WARM)

    @property
    def open(self) -> bool:
        """Whether the breaker is open."""
        return self._stuck is not None

    def close(self) -> None:
        """Watch no more; a stuck look is left behind."""
        self._closed = True
        self._wanted.set()

    def _ask(self, ids: Sequence[str]) -> Found:
        begin = monotonic()
        try:
            rows = self._store.online_members(ids)
            return {member: _features(row) for member, row in zip(ids, rows, strict=True)}
        except Exception:  # noqa: BLE001 - whatever a store raises, the member gets the safe answer, and the reason says that the store is down
            return dict.fromkeys(ids, Reason.STORE_DOWN)
        finally:
            self._slow = monotonic() - begin > self._budget

    def _watch(self) -> None:
        """Wake when something is asked, and then once a budget while anything is: a quick look costs no wake of its own."""
        while not self._closed:
            look = self._now
            if look is None:
                self._wanted.clear()
                if self._now is None and not self._closed:
                    self._wanted.wait()
                continue
            left = look.until - monotonic()
            if left > 0:
                sleep(left)
                continue
            with self._lock:
                if self._now is look:
                    self._now, self._stuck = None, look
                    look.late(dict.fromkeys(look.ids, Reason.STORE_DOWN))


def _features(row: dict[str, object]) -> Features | Reason:
    at = row.pop("event_timestamp", None)
    if not isinstance(at, datetime):
        return Reason.UNKNOWN_MEMBER
    return Features(row, at)  # type: ignore[arg-type]  # the store's columns are those of the schema
