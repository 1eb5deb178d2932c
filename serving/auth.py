"""Who may call what: API keys with scopes, of which `admin` allows everything, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from math import floor
from time import monotonic

from limits import parse

from serving.problems import Refusal
from training.adapters.log_keys import Key, RecentKeys, Scope, match

AGAIN = 0.5
"""Seconds after a failure in which nobody asks for the keys again."""


class Windows:
    """Counts by key in windows of the rate's length. The window before counts for the share of it that is less than one length ago: no border lets twice as
    many through.
    """

    def __init__(self, rate: str) -> None:
        self.rate = parse(rate)
        self._seconds = float(self.rate.get_expiry())
        self._seen: dict[str, tuple[int, int, int]] = {}

    def hit(self, key: str, now: float) -> bool:
        """Whether one more is allowed at `now`, in seconds of any clock; it is counted where it is."""
        window, part = divmod(now, self._seconds)
        number, count, before = self._seen.get(key, (int(window), 0, 0))
        if number != window:
            count, before = 0, count if number == window - 1 else 0
        allowed = count + before * (1 - part / self._seconds) < self.rate.amount
        self._seen[key] = (int(window), count + allowed, before)
        return allowed

    def wait(self, key: str, now: float) -> int:
        """Whole seconds, at least one, until a key that was not allowed at `now` is allowed again if nothing is asked by it meanwhile."""
        part = now % self._seconds
        _, count, before = self._seen[key]
        left = self.rate.amount - count
        share = 1 - left / before if left > 0 else 1.0  # of this window has to be over, so that what is counted of the one before is less than `left`
        return max(1, floor(share * self._seconds - part) + 1)


class Guard:
    """Checks keys (compared in constant time by `match`) and counts each key's requests to this worker."""

    def __init__(self, keys: RecentKeys, rate: str, seconds: float) -> None:
        """`rate` as the library `limits` writes it; nobody waits longer than `seconds` for the keys."""
        self._keys, self._windows, self._seconds = keys, Windows(rate), seconds
        self._failed = self._since = float("-inf")
        self._reading: asyncio.Future[Mapping[str, Key] | None] | None = None
        self._thread = ThreadPoolExecutor(1, "keys")
        """Of its own: whatever else waits for the log, keys are read."""

    def stop(self) -> None:
        """Read no keys any more."""
        self._thread.shutdown(wait=False)

    def admits(self, token: str, scope: Scope) -> bool:
        """Whether `check` would let it in without having to ask for keys; then it has been counted."""
        held = self._held()
        key = match(token, held) if token and held is not None else None
        return key is not None and not {scope, Scope.ADMIN}.isdisjoint(key.scopes) and self._windows.hit(key.key_id, monotonic())

    async def check(self, token: str, scope: Scope) -> Key:
        """The key behind `token`. Raises Refusal: 401 without a valid one, 403 without the scope, 429 beyond the rate, 503 where keys cannot be read."""
        key = match(token, await self._valid()) if token else None
        if key is None:
            raise Refusal(401, "Unauthorized", "Send a valid key as `Authorization: Bearer rm_...`.", {"WWW-Authenticate": "Bearer"})
        if not {scope, Scope.ADMIN} & key.scopes:
            raise Refusal(
                403,
                "Forbidden",
                f"Key {key.key_id} lacks the scope {scope.value!r}. Create one that has it: rightmatch keys create NAME --scope {scope.value}.",
            )
        now = monotonic()
        if not self._windows.hit(key.key_id, now):
            seconds, said = self._windows.wait(key.key_id, now), f"Key {key.key_id} made more than {self._windows.rate}."
            raise Refusal(429, "Too many requests", f"{said} Wait {seconds} s, or raise serving.rate_limit.", {"Retry-After": str(seconds)})
        return key

    def _held(self) -> Mapping[str, Key] | None:
        """The keys as read a moment ago, which are read again before anybody has to wait for that; None where it was too long ago."""
        held = self._keys.held()
        if held is not None and self._keys.ageing:
            self._read()
        return held

    def _read(self) -> asyncio.Future[Mapping[str, Key] | None] | None:
        """The keys, which are being read in nobody's name, once at a time; None shortly after that failed."""
        if self._reading is None and monotonic() - self._failed >= AGAIN:
            self._reading, self._since = asyncio.ensure_future(self._fresh()), monotonic()
        return self._reading

    async def _fresh(self) -> Mapping[str, Key] | None:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._keys.read)
        except Exception:  # noqa: BLE001 - unreadable keys open nothing: whoever comes when those at hand are too old is told
            self._failed = monotonic()
            return None
        finally:
            self._reading = None

    async def _valid(self) -> Mapping[str, Key]:
        """The keys as read a moment ago. A database that hangs keeps those waiting who come with a key, for a while, and not the event loop."""
        held = self._held()
        if held is None and (reading := self._read()) is not None:
            await asyncio.wait({reading}, timeout=max(0.0, self._since + self._seconds - monotonic()))
            held = reading.result() if reading.done() else None
        if held is None:
            raise Refusal(
                503, "Keys cannot be read", "The store of API keys does not answer, so nobody can be let in. Try again shortly.", {"Retry-After": "1"}
            )
        return held
