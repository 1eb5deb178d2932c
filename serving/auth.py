"""Who may call what: API keys with scopes, of which `admin` allows everything, and how often."""

from __future__ import annotations

from limits import parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter

from serving.problems import Refusal
from training.adapters.log_keys import Key, RecentKeys, Scope


class Guard:
    """Checks keys (compared in constant time by `RecentKeys`) and counts each key's requests to this worker."""

    def __init__(self, keys: RecentKeys, rate: str) -> None:
        self._keys, self._rate = keys, parse(rate)
        self._limiter = SlidingWindowCounterRateLimiter(MemoryStorage())

    def check(self, token: str, scope: Scope) -> Key:
        """The key behind `token`. Raises Refusal: 401 without a valid one, 403 without the scope, 429 beyond the rate, 503 where keys cannot be read."""
        key = self._key(token)
        if not {scope, Scope.ADMIN} & key.scopes:
            raise Refusal(
                403,
                "Forbidden",
                f"Key {key.key_id} lacks the scope {scope.value!r}. Create one that has it: rightmatch keys create NAME --scope {scope.value}.",
            )
        if not self._limiter.hit(self._rate, key.key_id):
            raise Refusal(429, "Too many requests", f"Key {key.key_id} made more than {self._rate}. Wait, or raise serving.rate_limit.", {"Retry-After": "1"})
        return key

    def _key(self, token: str) -> Key:
        try:
            key = self._keys.check(token) if token else None
        except Exception:  # noqa: BLE001 - unreadable keys open nothing
            raise Refusal(503, "Keys cannot be read", "The store of API keys does not answer, so nobody can be let in. Try again shortly.") from None
        if key is None:
            raise Refusal(401, "Unauthorized", "Send a valid key as `Authorization: Bearer rm_...`.", {"WWW-Authenticate": "Bearer"})
        return key
