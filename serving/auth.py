"""Who may call what: API keys with scopes, of which `admin` allows everything, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from time import monotonic

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from serving.problems import Refusal
from training.adapters.log_keys import Key, RecentKeys, Scope, match

AGAIN = 0.5
"""Seconds after a failure in which nobody asks for the keys again."""


class Guard:
    """Checks keys (compared in constant time by `match`) and counts each key's requests to this worker."""

    def __init__(self, keys: RecentKeys, rate: str) -> None:
        self._keys, self._rate = keys, parse(rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._reading, self._failed = asyncio.Lock(), float("-inf")

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
        if not self._limiter.hit(self._rate, key.key_id):
            raise Refusal(429, "Too many requests", f"Key {key.key_id} made more than {self._rate}. Wait, or raise serving.rate_limit.", {"Retry-After": "1"})
        return key

    async def _valid(self) -> Mapping[str, Key]:
        """The keys as read a moment ago. A database that hangs keeps those waiting who come with a key, not the event loop, and is asked by one at a time."""
        held = self._keys.held()
        if held is not None:
            return held
        async with self._reading:
            held = self._keys.held()
            if held is not None:
                return held
            if monotonic() - self._failed >= AGAIN:
                try:
                    return await asyncio.to_thread(self._keys.read)
                except Exception:  # noqa: BLE001 - unreadable keys open nothing
                    self._failed = monotonic()
        raise Refusal(503, "Keys cannot be read", "The store of API keys does not answer, so nobody can be let in. Try again shortly.", {"Retry-After": "1"})
