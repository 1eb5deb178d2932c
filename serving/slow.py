"""Callers who take too long to send a request: their connections are closed, else a few thousand of them would hold all that a process may open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Collection
from contextlib import suppress
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn

TICKS = 10
"""Of uvicorn's ten a second: between two looks."""
AGAIN = 0.25
"""Seconds between two looks while the service ends."""
LAST = 5.0
"""Seconds that a caller has at most to send the rest of a request once the service ends: less than anybody waits for that end."""
GRACE = 10
"""Seconds after which a service that ends waits no more for a caller who does not read an answer."""


class Waits:
    """Since when each of `connections` (uvicorn's protocols) waits for the rest of one request, or for its first one."""

    def __init__(self, connections: Collection[Any], most: float) -> None:
        self._connections, self.most = connections, most
        self._since: WeakKeyDictionary[Any, tuple[object, float]] = WeakKeyDictionary()

    def look(self, now: float) -> None:
        """Close those that have waited for the same request for longer than `most` seconds at `now`, of any clock."""
        for connection in list(self._connections):
            if not waiting(connection):
                self._since.pop(connection, None)
                continue
            before, since = self._since.setdefault(connection, (connection.cycle, now))
            if before is not connection.cycle:
                self._since[connection] = connection.cycle, now
            elif now - since > self.most:
                connection.transport.close()


def waiting(connection: Any) -> bool:  # noqa: ANN401 - uvicorn has no type for what its protocols share
    """Whether part of a request is still to come. Not between two requests: there uvicorn's own, shorter limit holds."""
    cycle = connection.cycle
    if cycle is None or cycle.response_complete:
        return connection.timeout_keep_alive_task is None
    return bool(getattr(cycle, "more_body", False))


class Server(uvicorn.Server):
    """uvicorn's, which looks at its connections once a second."""

    def __init__(self, config: uvicorn.Config, most: float) -> None:
        config.timeout_graceful_shutdown = GRACE
        super().__init__(config)
        self._waits = Waits(self.server_state.connections, most)

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's call, ten times a second."""
        if counter % TICKS == 0:
            self._waits.look(monotonic())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's call, which answers what has come whole. For the rest of what has not it waits LAST seconds at most."""
        self._waits.most = min(self._waits.most, LAST)
        looking = asyncio.create_task(self._go_on_looking())
        try:
            await super().shutdown(sockets)
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking

    async def _go_on_looking(self) -> None:
        while True:
            self._waits.look(monotonic())
            await asyncio.sleep(AGAIN)
