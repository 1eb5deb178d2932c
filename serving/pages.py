"""What FastAPI answers by itself, the description and the pages that show it: counted and logged as our own operations are."""

from __future__ import annotations

from time import perf_counter

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import trace
from serving.core import Core
from serving.requests import Told, close


def install(app: FastAPI, core: Core) -> None:
    """Count what the routes that `app` has so far answer, each under its path. What they have no answer to is the application's."""
    for route in app.routes:
        if isinstance(route, (Route, Mount)):
            route.app = _counted(core, route.path, route.app)


def _counted(core: Core, operation: str, page: ASGIApp) -> ASGIApp:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        told = Told(operation, scope["method"], scope["path"], trace.context(Request(scope)), perf_counter())

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":  # as `ended`, before the caller has it
                close(core, told, message["status"])
                if told.trace:
                    MutableHeaders(scope=message)[trace.HEADER] = told.trace
            await send(message)

        await page(scope, receive, sending)

    return answer
