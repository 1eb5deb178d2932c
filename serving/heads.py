"""What uvicorn leaves open: how long a request's head may be, what becomes of one that offers another protocol, and how one is refused that cannot be read.

Beyond the bound a request is answered with 431 and its connection closed, before any more of it is kept. An offer of another protocol is ignored, as RFC 9110,
7.8 has it: the request is served as if it had made none, with its body.
"""

from __future__ import annotations

from time import perf_counter
from typing import Any

import httptools
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.core import Core
from serving.problems import Refusal, problem
from serving.requests import UNKNOWN, Told, close

MOST_HEAD, MOST_HEADERS = 1 << 16, 1_000
"""Bytes of a request's line and headers, and how many of these there may be."""
PIECE = 1 << 14
"""Bytes that the parser gets at once: what it holds back of a head that is not complete is known up to so many."""
UNMEASURED = 4 * MOST_HEADERS
"""Bytes within which no head is too long."""


class TooLong(Exception):  # noqa: N818 - it only ends the parser's work
    """A head is beyond the bound."""


class Heads(HttpToolsProtocol):
    """One connection of a worker whose `core` it is. Whoever overrides the parser's calls says when a head is complete, in `_headed`."""

    core: Core
    cycle: Any
    _came = 0
    """Bytes since the head that is being read began, and at most PIECE before it."""
    _headed: list[tuple[bytes, bytes]] | None = None
    """The headers of the last request whose head is complete: those of another one are still to come."""
    _trailer = False
    """Whether a chunk was announced of which nothing has come: it may be the last one, before further headers."""

    def data_received(self, data: bytes) -> None:
        """uvicorn's call."""
        if len(data) > PIECE:
            self._piecewise(data)
            return
        self._unset_keepalive_if_required()
        before = self.headers
        self._came += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as offer:
            self._without(data[offer.args[0] :])
        except httptools.HttpParserError:
            self._unread()
        if self.headers is not before:
            self._came = len(data)
        elif self._came > MOST_HEAD + PIECE and (self._trailer or self.headers is not self._headed) and not self.transport.is_closing():
            self._refuse(too_long())

    def on_headers_complete(self) -> None:
        """The parser's call."""
        if not self.parser.should_upgrade():
            super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """The parser's call."""
        self._trailer, self._came = True, PIECE

    def on_body(self, body: bytes) -> None:
        """The parser's call."""
        self._trailer = False
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The parser's call."""
        self._trailer = False
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _measure(self) -> None:
        """Raises TooLong."""
        if len(self.headers) > MOST_HEADERS or len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > MOST_HEAD:
            raise TooLong

    def _piecewise(self, data: bytes) -> None:
        for start in range(0, len(data), PIECE):
            if not self.transport.is_closing():
                self.data_received(data[start : start + PIECE])

    def _without(self, rest: bytes) -> None:
        """The request that was just read, without its offer, and what came after its head."""
        try:
            while True:
                self._again()
                try:
                    self.parser.feed_data(rest)
                except httptools.HttpParserUpgrade as offer:
                    rest = rest[offer.args[0] :]
                else:
                    return
        except httptools.HttpParserError:
            self._unread()

    def _again(self) -> None:
        """Its head to another parser, since this one gives away what follows. Raises HttpParserError for CONNECT, which is nothing but an offer."""
        self._headed = None
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            raise httptools.HttpParserError
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        lines = b"".join([b"%b: %b\r\n" % header for header in self.headers if header[0] != b"upgrade"])
        self.parser.feed_data(b"%b %b HTTP/%b\r\n%b\r\n" % (method, self.url, version, lines))

    def _unread(self) -> None:
        """The parser gave up."""
        try:
            self._measure()
        except TooLong:
            self._refuse(too_long())
        else:
            self._refuse(unreadable())

    def _refuse(self, refusal: Refusal) -> None:
        """Answer, where the caller waits for the answer to this request and no other, and hang up."""
        told = Told(UNKNOWN, "", "", "", perf_counter())
        if self._awaited():
            status, headers, body = parts(problem(refusal, ""))
            self.transport.write(answer(status, [*self.server_state.default_headers, *headers, (b"connection", b"close")], body))
        self.transport.close()
        close(self.core, told, refusal.status)

    def _awaited(self) -> bool:
        cycle = self.cycle
        if self.headers is not self._headed:
            return cycle is None or bool(cycle.response_complete)
        return not self.pipeline and getattr(cycle, "more_body", False) and not cycle.response_started


def too_long() -> Refusal:
    """431."""
    return Refusal(431, "Request header fields too large", f"A request may have {MOST_HEADERS} headers, and {MOST_HEAD} bytes of them. Send fewer.")


def unreadable() -> Refusal:
    """400."""
    return Refusal(400, "Unreadable request", "What came is no request of HTTP/1.1, so nothing was decided or applied. The connection is closed.")


def parts(response: Response) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of a response, its length aside."""
    return response.status_code, [header for header in response.raw_headers if header[0] != b"content-length"], bytes(response.body)


def answer(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> bytes:
    """As it goes out."""
    lines = b"".join([b"%b: %b\r\n" % header for header in headers])
    return b"%bcontent-length: %d\r\n%b\r\n%b" % (STATUS_LINE[status], len(body), lines, body)
