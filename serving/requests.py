"""What every request has besides its operation: its time measured, its failures answered, its trace passed on."""

from __future__ import annotations

from time import perf_counter
from typing import NamedTuple

from starlette.responses import Response

from serving.core import Core
from serving.logs import say
from serving.patience import Crowded, Overdue
from serving.problems import Refusal, problem
from serving.trace import HEADER, id_of
from training.domain.errors import LogError

UNKNOWN = "unknown"
"""The operation of a request that asks for none of ours: whatever callers make up, the metrics have one name for it."""


class Told(NamedTuple):
    """A request's operation as it is counted, its method and path, its trace context, and when `perf_counter` said that it began."""

    operation: str
    method: str
    path: str
    trace: str
    since: float


def close(core: Core, told: Told, status: int) -> None:
    """Count and log a request that is answered."""
    seconds = perf_counter() - told.since
    core.metrics.request(told.operation, status, seconds)
    if core.settings.serving.access_log or status >= 500:  # noqa: PLR2004 - server errors
        say("request", method=told.method, path=told.path, status=status, ms=round(seconds * 1e3, 3), trace_id=id_of(told.trace))


def ended(core: Core, told: Told, response: Response) -> Response:
    """The answer to a request, which is counted and logged, with the trace that it came with."""
    close(core, told, response.status_code)
    if told.trace:
        response.headers[HEADER] = told.trace
    return response


def failed(core: Core, error: Exception, told: Told) -> Response:
    """The problem that a caller gets; what is no refusal goes into the log with its whole story."""
    match error:
        case Refusal():
            return problem(error, told.path)
        case Overdue():
            return problem(Refusal(503, "Log unavailable", "The log has not answered in time. Ask again shortly.", {"Retry-After": "1"}), told.path)
        case Crowded():
            words = "Too many reads of the log wait already, so this one was not begun. Ask again shortly."
            return problem(Refusal(503, "Too busy", words, {"Retry-After": "1"}), told.path)
        case LogError():
            core.metrics.trouble("log", error, trace_id=id_of(told.trace))
            return problem(Refusal(503, "Log unavailable", "The decision log does not answer. Try again shortly.", {"Retry-After": "1"}), told.path)
        case _:
            core.metrics.trouble("request", error, trace_id=id_of(told.trace))
            return problem(Refusal(500, "Internal error", "The service failed on this request; its log says why. Nothing was half-applied."), told.path)
