"""What stands before the routes: the size of bodies is bounded before and while they are read, and an operation whose path is fixed is called at once.

FastAPI's layers (errors, exit stacks, the search for a route) cost a request more than a decision's own arithmetic, and our handlers need none of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import Refusal

MOST_BYTES = 1 << 20
"""Of a request's body; a thousand outcomes take a quarter of it."""
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")

Direct = Mapping[tuple[str, str], Callable[[Request], Awaitable[Response]]]
"""Operations by method and path; they answer whatever they are asked and never raise."""


class Front:
    """Pure ASGI, since it stands before every request. What is not `direct` goes to `app`."""

    def __init__(self, app: ASGIApp, direct: Direct) -> None:
        self._app, self._direct = app, direct

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is asked. A body that is too large, or announces to be, fails in the route that reads it, which answers as to any failure."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] not in _WITHOUT_BODY:
            receive = _bounded(receive, _announced(scope))
        handler = self._direct.get((scope["method"], scope["path"]))
        if handler is None:
            await self._app(scope, receive, send)
            return
        response = await handler(Request(scope, receive))
        await response(scope, receive, send)


def too_large() -> Refusal:
    """413."""
    return Refusal(413, "Request too large", f"A body may have {MOST_BYTES} bytes. Send fewer outcomes at once.")


def _bounded(receive: Receive, announced: int) -> Receive:
    read = 0

    async def bounded() -> Message:
        nonlocal read
        if announced > MOST_BYTES:
            raise too_large()
        message = await receive()
        read += len(message.get("body", b""))
        if read > MOST_BYTES:
            raise too_large()
        return message

    return bounded


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
