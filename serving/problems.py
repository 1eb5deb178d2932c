"""Errors as RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from starlette.responses import Response

from serving.messages import OutcomeAnswer, Problem, Refused

MEDIA = "application/problem+json"


class Refusal(Exception):  # noqa: N818 - it is an answer
    """A request that is answered with a problem."""

    def __init__(self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.title, self.detail, self.headers = status, title, detail, dict(headers or {})


def problem(refusal: Refusal, instance: str) -> Response:
    """As a response."""
    return _response(Problem(kind(refusal.title), refusal.title, refusal.status, refusal.detail, instance), refusal.headers)


def partly(answer: OutcomeAnswer, refused: Sequence[Refused], instance: str) -> Response:
    """Some outcomes were refused, or all; the others are applied and durable."""
    count, why = answer.accepted + answer.repeated + len(refused), refused[0].why
    if count == 1:
        detail = f"The outcome was refused because {why}. Nothing was applied."
    elif count == len(refused):
        detail = f"All {count} outcomes were refused, the first because {why}. None was applied."
    else:
        detail = f"{len(refused)} of {count} outcomes were refused, the first because {why}. The others are applied."
    title = "Outcomes refused"
    body = Problem(kind(title), title, 422, detail, instance, answer.accepted, answer.repeated, list(refused))
    return _response(body, {})


def kind(title: str) -> str:
    """The type of the problems of a title."""
    return "urn:rightmatch:problem:" + title.lower().replace(" ", "-")


def _response(body: Problem, headers: Mapping[str, str]) -> Response:
    return Response(msgspec.json.encode(body), body.status, headers, MEDIA)
