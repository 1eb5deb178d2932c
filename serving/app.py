"""The HTTP application: one worker's routes over one core. Paths, bodies and errors are described by `serving.openapi`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import perf_counter

from fastapi import FastAPI, Request
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException
from starlette.responses import Response

from serving import openapi, outcomes, pages, personalizer, records, trace
from serving.core import Core
from serving.decisions import decide
from serving.front import Front
from serving.probes import healthz, metrics, readyz
from serving.problems import Refusal, problem
from serving.requests import UNKNOWN, Told, ended, failed
from training.adapters.log_keys import Scope

Handler = Callable[[Core, Request], Awaitable[Response]]
Answering = Callable[[Request], Awaitable[Response]]


def create(core: Core) -> Front:
    """The application over `core`, which it starts and stops."""
    direct: dict[tuple[str, str], Answering] = {}
    app = FastAPIOffline("/docs", None, title="Rightmatch", version="1", openapi_url="/openapi.json", lifespan=_lifespan(core))
    pages.install(app, core)
    for path, method, scope, handler in (
        ("/v1/decisions", "POST", Scope.DECIDE, decide),
        ("/v1/decisions/{decision_id}", "GET", Scope.READ, records.show),
        ("/v1/outcomes", "POST", Scope.OUTCOMES, outcomes.take),
        *((path, "POST", scope, handler) for path, scope, handler in personalizer.ROUTES),
        ("/metrics", "GET", Scope.READ, metrics),
        ("/healthz", "GET", None, healthz),
        ("/readyz", "GET", None, readyz),
    ):
        answer = _route(core, path.replace(":path", ""), scope, handler)
        app.router.add_route(path, answer, methods=[method], include_in_schema=False)
        if "{" not in path:
            direct[method, path] = answer
    app.router.redirect_slashes = False  # a path is an operation's or nobody's; a redirect would name whatever host the caller did
    app.add_exception_handler(HTTPException, _nobodys(core))
    openapi.install(app)
    return Front(app, direct)


def _lifespan(core: Core) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        core.start(asyncio.get_running_loop())
        try:
            yield
        finally:
            await asyncio.to_thread(core.stop)

    return life


def _route(core: Core, path: str, scope: Scope | None, handler: Handler) -> Answering:
    """The handler behind its key, with its time measured and its failures answered."""

    async def answer(request: Request) -> Response:
        told = Told(path, request.method, request.url.path, trace.context(request), perf_counter())
        try:
            if scope is not None:
                await core.guard.check(token(request), scope)
            response = await handler(core, request)
        except Exception as error:  # noqa: BLE001 - a caller gets a problem, the log the whole story
            response = failed(core, error, told)
        return ended(core, told, response)

    return answer


def token(request: Request) -> str:
    """The key that a request carries: as a bearer token, or as Personalizer's clients send it."""
    header = request.headers.get("authorization", "")
    if header[:7].lower() == "bearer ":
        return header[7:].strip()
    return request.headers.get("ocp-apim-subscription-key", "")


def _nobodys(core: Core) -> Callable[[Request, Exception], Awaitable[Response]]:
    """Unknown paths and methods."""

    async def answer(request: Request, error: Exception) -> Response:
        told = Told(UNKNOWN, request.method, request.url.path, trace.context(request), perf_counter())
        return ended(core, told, problem(_refusal(request, error), told.path))

    return answer


def _refusal(request: Request, error: Exception) -> Refusal:
    if not isinstance(error, HTTPException):
        return Refusal(500, "Internal error", str(error))
    detail = f"{request.method} {request.url.path}: {error.detail}. The operations are listed under /openapi.json."
    return Refusal(error.status_code, error.detail, detail, error.headers)
