"""A decision between two calls of the HTTP parser: no task, no messages of ASGI, no request object.

uvicorn's own protocol stays in charge of the connection. A plain request for a decision is answered here; whatever is anything else, or is not to be let in,
is handed to it as if it had never been looked at, so that there is one place that refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from time import perf_counter

import msgspec

from serving import decisions
from serving.core import Core
from serving.heads import UNMEASURED, Heads, parts
from serving.heads import answer as whole
from serving.messages import answer
from serving.requests import Told, close, failed
from serving.trace import HEADER, id_of, valid
from training.adapters.log_keys import Scope
from training.domain.served import Asked, Served

PATH, JSON = b"/v1/decisions", b"application/json"
DIGITS = 4
"""Of the size of a body that is taken here: it has less than 10 kB."""
_NO_KEY, _TRACE = "bearer ", HEADER.encode()


class Pending:
    """A decision under way, as uvicorn's protocol asks about it."""

    __slots__ = ("disconnected", "keep_alive", "message_event", "ready", "response_complete")

    def __init__(self, *, keep_alive: bool) -> None:
        self.keep_alive, self.message_event = keep_alive, _Nobody()
        self.response_complete = self.disconnected = False
        self.ready: tuple[Served, bytes] | None = None
        """What will be answered once it is durable, and its body."""


class _Nobody:
    """Waits for nothing."""

    def set(self) -> None:
        """Nobody hears it."""


class Quick(Heads):
    """One connection of a worker whose `core` it is."""

    _body: bytearray | None = None
    """Of a request that may be answered here, as far as it has come."""
    _named: Mapping[bytes, bytes]
    """The headers of such a request, of several of one name the first."""

    def on_headers_complete(self) -> None:
        """The parser's call. Raises TooLong, which is for `data_received`."""
        if self._came > UNMEASURED:
            self._measure()
        if self._plain():
            self._body = bytearray()
        else:
            super().on_headers_complete()
        self._headed = self.headers

    def on_body(self, body: bytes) -> None:
        """The parser's call."""
        if self._body is None:
            super().on_body(body)
        else:
            self._body += body

    def on_message_complete(self) -> None:
        """The parser's call."""
        if self._body is None:
            super().on_message_complete()
        elif self._taken(bytes(self._body)):
            self._body = None
        else:
            self._leave()
            super().on_message_complete()

    def shutdown(self) -> None:
        """uvicorn's call, which closes what has no request under way."""
        if self._body is not None:
            self._leave()
        super().shutdown()

    def _leave(self) -> None:
        """To uvicorn."""
        body, self._body = bytes(self._body or b""), None
        super().on_headers_complete()
        super().on_body(body)

    def _plain(self) -> bool:
        """Whether a decision is asked for, alone, with a body of which the size is known."""
        if self.url != PATH or self.parser.get_method() != b"POST" or self.parser.should_upgrade() or self.expect_100_continue:
            return False
        if self.pipeline or self.flow.write_paused or not (self.cycle is None or self.cycle.response_complete):
            return False
        self._named = dict(reversed(self.headers))
        size = self._named.get(b"content-length", b"")
        named = self._named
        return size.isdigit() and len(size) <= DIGITS and b"transfer-encoding" not in named and b"content-encoding" not in named

    def _taken(self, body: bytes) -> bool:
        """Whether the request is being answered here; what is not is looked at once more by uvicorn's way."""
        since, named = perf_counter(), self._named
        token, trace = named.get(b"authorization", b"").decode("latin-1"), valid(named.get(_TRACE, b"").decode("latin-1"))
        if token[:7].lower() != _NO_KEY or named.get(b"content-type", JSON) not in {b"", JSON}:
            return False
        try:
            asked = decisions.asked(self.core, body, id_of(trace))
        except Exception:  # noqa: BLE001 - whatever is wrong with it, there it is said
            return False
        if not self.core.guard.admits(token[7:].strip(), Scope.DECIDE):
            return False
        told = Told(PATH.decode(), "POST", PATH.decode(), trace, since)
        self.cycle = pending = Pending(keep_alive=self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive())
        self.core.decider.put(asked, partial(self._answer, pending, told, asked), partial(self._coming, pending, asked))
        return True

    @staticmethod
    def _coming(pending: Pending, asked: Asked, found: Served) -> None:
        with suppress(Exception):  # `_answer` says so
            pending.ready = found, _body(asked, found)

    def _answer(self, pending: Pending, told: Told, asked: Asked, found: Served | Exception) -> None:
        try:
            body = pending.ready[1] if pending.ready and pending.ready[0] is found else _body(asked, found)
            status, headers = 200, [(b"content-type", JSON)]
        except Exception as error:  # noqa: BLE001 - a caller gets a problem
            status, headers, body = parts(failed(self.core, error, told))
        if told.trace:
            headers.append((_TRACE, told.trace.encode()))
        self._write(pending, status, headers, body)
        close(self.core, told, status)

    def _write(self, pending: Pending, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        pending.response_complete = True
        if not (pending.disconnected or self.transport.is_closing()):
            if not pending.keep_alive:
                headers.append((b"connection", b"close"))
            self.transport.write(whole(status, [*self.server_state.default_headers, *headers], body))
            if not pending.keep_alive:
                self.transport.close()
        self.on_response_complete()


def _body(asked: Asked, found: Served | Exception) -> bytes:
    return msgspec.json.encode(answer(decisions.standing(asked, found)))


def protocol(core: Core) -> type[Quick]:
    """The connections of a worker over `core`."""
    return type("Connection", (Quick,), {"core": core})
