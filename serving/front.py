"""What stands before the routes: the size of bodies is bounded while they are read."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.problems import Refusal, problem

MOST_BYTES = 1 << 20
"""Of a request's body; a thousand outcomes take a quarter of it."""
_WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")


class Front:
    """Pure ASGI, since it stands before every request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a body that announces to be too large; one that becomes too large fails in the route that reads it, which answers the same problem."""
        if scope["type"] != "http" or scope["method"] in _WITHOUT_BODY:
            await self._app(scope, receive, send)
            return
        if _announced(scope) > MOST_BYTES:
            await problem(too_large(), scope["path"])(scope, receive, send)
            return
        read = 0

        async def bounded() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MOST_BYTES:
                raise too_large()
            return message

        await self._app(scope, bounded, send)


def too_large() -> Refusal:
    """413."""
    return Refusal(413, "Request too large", f"A body may have {MOST_BYTES} bytes. Send fewer outcomes at once.")


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            return int(value) if value.isdigit() else 0
    return 0
