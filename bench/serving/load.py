"""One HTTP client for every server that is measured: keep-alive connections on raw sockets, closed loop, the same code for all.

A connection sends one request, waits for its whole answer, and sends the next. A connection that a server closes is opened again and the request
is repeated; the wait counts as part of its latency.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any, TypeVar, cast

import numpy as np

from training.domain.errors import NotReadyError

GIVE_UP = 120.0
"""Seconds without any answer after which a server counts as gone."""
RETRY = 0.01
_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int


@dataclass
class Load:
    """What one closed loop saw: seconds of each answered request in order of answer, wall seconds, answers that were no 2xx, connections reopened.

    `bodies` holds the answers where they were to be kept.
    """

    seconds: list[float] = field(default_factory=list)
    wall: float = 0.0
    failed: int = 0
    reopened: int = 0
    bodies: list[bytes] = field(default_factory=list)

    def add(self, other: Load) -> None:
        """Count what `other` saw too."""
        self.seconds += other.seconds
        self.wall += other.wall
        self.failed += other.failed
        self.reopened += other.reopened
        self.bodies += other.bodies

    @property
    def rps(self) -> float:
        """Answers a second."""
        return len(self.seconds) / self.wall if self.wall else 0.0

    def ms(self, percent: float) -> float:
        """A percentile of the latencies, milliseconds."""
        return percentile(self.seconds, percent)


def percentile(seconds: Sequence[float], percent: float) -> float:
    """Milliseconds, rounded to 1 us; NaN where nothing was measured."""
    return round(float(np.percentile(seconds, percent)) * 1e3, 3) if len(seconds) else float("nan")


def get(path: str, headers: Sequence[str] = ()) -> bytes:
    """The bytes of one request without a body."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers]).encode() + _END


def post(path: str, body: bytes, headers: Sequence[str] = ()) -> bytes:
    """The bytes of one request."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + _END + body


def run(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run on uvloop, whose sockets cost the client the least."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work())


class Connection(asyncio.Protocol):
    """One connection with one request under way. Answers must carry a Content-Length."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = b""
        self._waiting: asyncio.Future[tuple[int, bytes]] | None = None

    @property
    def open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Status and body of the answer. Raises ConnectionError if the server closed the connection instead."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("closed")
        self._waiting = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._waiting

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asyncio's call."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Asyncio's call."""
        self._buffer = self._buffer + data if self._buffer else data
        head = self._buffer.find(_END)
        if head < 0 or self._waiting is None:
            return
        start = self._buffer[:head].lower().find(_LENGTH)
        if start < 0:
            self._fail(ValueError(f"An answer has no Content-Length, which this client needs: {self._buffer[:head]!r}"))
            return
        begin = start + len(_LENGTH)
        stop = self._buffer.find(b"\r", begin)
        end = head + len(_END) + int(self._buffer[begin:stop])
        if len(self._buffer) >= end:
            answer = int(self._buffer[9:12]), self._buffer[head + len(_END) : end]
            self._buffer, waiting, self._waiting = self._buffer[end:], self._waiting, None
            if not waiting.done():
                waiting.set_result(answer)

    def connection_lost(self, exc: Exception | None) -> None:
        """Asyncio's call."""
        self._transport = None
        self._fail(exc or ConnectionResetError("the server closed the connection"))

    def _fail(self, error: Exception) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(error)


async def connect(address: Address) -> Connection:
    """An open connection. Raises OSError if nobody listens."""
    _, connection = await asyncio.get_running_loop().create_connection(Connection, address.host, address.port)
    return connection


async def closed_loop(
    address: Address, requests: Sequence[bytes], connections: int, *, count: int | None = None, seconds: float = 0.0, keep: bool = False
) -> Load:
    """Send `requests`, again from the first after the last, until `count` were answered, or for `seconds` where there is no count.

    Raises NotReadyError if the server gives no answer for GIVE_UP seconds.
    """
    load, source = Load(), cycle(requests)
    begin = time.perf_counter()
    end = begin + seconds
    left = iter(range(count)) if count is not None else None

    def more() -> bool:
        return next(left, None) is not None if left is not None else time.perf_counter() < end

    await asyncio.gather(*(_client(address, source, load, more, keep) for _ in range(connections)))
    load.wall = time.perf_counter() - begin
    return load


async def _client(address: Address, source: Iterator[bytes], load: Load, more: Callable[[], bool], keep: bool) -> None:
    connection = await _opened(address)
    while more():
        request, begin = next(source), time.perf_counter()
        while True:
            try:
                status, body = await connection.send(request)
                break
            except ConnectionError:
                load.reopened += 1
                connection = await _opened(address)
        load.seconds.append(time.perf_counter() - begin)
        load.failed += status // 100 != 2  # noqa: PLR2004 - HTTP's class of success
        if keep:
            load.bodies.append(body)
    connection.close()


async def _opened(address: Address) -> Connection:
    give_up = time.perf_counter() + GIVE_UP
    while True:
        try:
            return await connect(address)
        except OSError as error:
            if time.perf_counter() > give_up:
                raise NotReadyError(f"Nobody answers on {address.host}:{address.port}, so nothing was measured. See the server's own output.") from error
            await asyncio.sleep(RETRY)
