"""Callers who take too long to send a request: their connections are closed, else a few thousand of them would hold all that a process may open."""

from __future__ import annotations

from collections.abc import Collection
from time import monotonic
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn

TICKS = 10
"""Of uvicorn's ten a second: between two looks."""


class Waits:
    """Since when each of `connections` (uvicorn's protocols) waits for the rest of one request, or for its first one."""

    def __init__(self, connections: Collection[Any], most: float) -> None:
        self._connections, self._most = connections, most
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
            elif now - since > self._most:
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
        super().__init__(config)
        self._waits = Waits(self.server_state.connections, most)

    async def on_tick(self, counter: int) -> bool:
        """uvicorn's call, ten times a second."""
        if counter % TICKS == 0:
            self._waits.look(monotonic())
        return await super().on_tick(counter)
