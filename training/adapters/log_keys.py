"""Keys of the decision service's callers: the key itself is shown once, and only its SHA-256 is kept, beside the log."""

from __future__ import annotations

import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from hmac import compare_digest

from sqlalchemy import Engine, insert, select, update

from training.adapters.log_engine import instant, log_engine, micros, reading, writing
from training.adapters.log_tables import key_table
from training.domain.errors import ConfigError


class Scope(StrEnum):
    """What a key allows."""

    DECIDE = "decide"
    OUTCOMES = "outcomes"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True)
class Key:
    """A key as it is kept: `hash` is the SHA-256 (hex) of its whole text, whose 256 random bits nobody can try through."""

    key_id: str
    name: str
    scopes: frozenset[Scope]
    hash: str
    created_at: datetime
    revoked_at: datetime | None = None


class ApiKeys:
    """Keys at an SQLAlchemy URL or engine of the log. Every method raises LogError where the database refuses."""

    def __init__(self, where: str | Engine) -> None:
        self._where = where

    @cached_property
    def _engine(self) -> Engine:
        return log_engine(self._where) if isinstance(self._where, str) else self._where

    def create(self, name: str, scopes: Collection[str], at: datetime, random: Callable[[int], bytes] = secrets.token_bytes) -> str:
        """A new key `rm_KEYID_SECRET`, which cannot be read again. Raises ConfigError for scopes that mean nothing, and for a name that nobody could read."""
        if not name.strip():
            raise ConfigError(f"A key's name says who uses it, and {name!r} says nothing, so none was made. Give it one, such as shop.")
        wanted = _scopes(scopes)
        key_id = random(8).hex()
        token = f"rm_{key_id}_{urlsafe_b64encode(random(32)).rstrip(b'=').decode()}"
        row = {"key_id": key_id, "name": name, "hash": _hash(token), "scopes": ",".join(sorted(wanted)), "created_at": micros(at)}
        with writing(self._engine) as connection:
            connection.execute(insert(key_table), row)
        return token

    def list(self) -> list[Key]:
        """All keys, the oldest first, revoked ones too."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(key_table).order_by(key_table.c.created_at, key_table.c.key_id)).all()
        return [
            Key(r.key_id, r.name, _scopes(r.scopes.split(",")), r.hash, instant(r.created_at), None if r.revoked_at is None else instant(r.revoked_at))
            for r in rows
        ]

    def valid(self) -> dict[str, Key]:
        """Keys that are not revoked, by their ids."""
        return {key.key_id: key for key in self.list() if key.revoked_at is None}

    def check(self, token: str) -> Key | None:
        """The key that `token` is, or None for one that is unknown, wrong or revoked."""
        return match(token, self.valid())

    def revoke(self, key_id: str, at: datetime) -> bool:
        """Let the key open nothing any more; whether it did until now."""
        c = key_table.c
        with writing(self._engine) as connection:
            done = connection.execute(update(key_table).where(c.key_id == key_id, c.revoked_at.is_(None)).values(revoked_at=micros(at)))
        return bool(done.rowcount)


class RecentKeys:
    """`check` without a look at the database each time: keys are read again when what is known is older than `ttl` seconds."""

    def __init__(self, keys: ApiKeys, ttl: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._keys, self._ttl, self._clock = keys, ttl, clock
        self._read: tuple[float, Mapping[str, Key]] | None = None

    def check(self, token: str) -> Key | None:
        """As `ApiKeys.check`, as of at most `ttl` seconds ago. Raises LogError where the keys cannot be read again: what was revoked would go on."""
        held = self.held()
        return match(token, self.read() if held is None else held)

    @property
    def ageing(self) -> bool:
        """Whether half the time is over for which they are held."""
        return self._read is not None and self._clock() - self._read[0] > self._ttl / 2

    def held(self) -> Mapping[str, Key] | None:
        """The valid keys by their ids as they were read, None where that is too long ago. Asks no database."""
        if self._read is None or self._clock() - self._read[0] > self._ttl:
            return None
        return self._read[1]

    def read(self) -> Mapping[str, Key]:
        """Read them again. Raises LogError."""
        now = self._clock()
        self._read = (now, self._keys.valid())
        return self._read[1]


def match(token: str, valid: Mapping[str, Key]) -> Key | None:
    """The key of `valid` that `token` is. Takes the same time for a wrong secret and for an unknown id."""
    parts = token.split("_", 2)
    key = valid.get(parts[1]) if len(parts) == _PARTS else None
    fits = compare_digest(_hash(token), key.hash if key else _NOBODY)
    return key if fits else None


def _hash(token: str) -> str:
    return sha256(token.encode(errors="surrogatepass")).hexdigest()


def _scopes(scopes: Collection[str]) -> frozenset[Scope]:
    unknown = sorted(set(scopes) - set(Scope))
    if unknown or not scopes:
        raise ConfigError(f"A key needs scopes, and {', '.join(unknown) or 'none'} would let it do nothing. Give some of {', '.join(Scope)}.")
    return frozenset(Scope(s) for s in scopes)


_PARTS = 3
_NOBODY = "0" * 64
