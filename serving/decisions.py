"""POST /v1/decisions."""

from __future__ import annotations

from datetime import datetime

import msgspec
from fastapi import Request
from starlette.responses import Response

from serving import bodies
from serving.chance import CHANCE
from serving.clock import BEGINNING, END
from serving.core import Core
from serving.decider import Busy
from serving.messages import DecisionRequest, answer
from serving.patience import Overdue
from serving.problems import Refusal
from serving.settling import Unlogged
from serving.trace import trace_id
from training.config.serving import Clock
from training.domain.nouns import Context
from training.domain.served import UNNAMED, Asked, Served

_DECODER = bodies.decoder(DecisionRequest)
JSON = "application/json"
OFFERED = "offered\n"
"""How a name among the exclusions begins that says what was offered: no arm's, since ids have no end of line. What that rules out changes with the catalog."""


async def decide(core: Core, request: Request) -> Response:
    """Decide, keep, answer."""
    body: DecisionRequest = await bodies.read(request, _DECODER)
    served = await settled(core, question(body, core.now(allowed(core, body.at)), trace_id(request)))
    return Response(msgspec.json.encode(answer(served)), media_type=JSON)


def asked(core: Core, body: bytes, trace: str) -> Asked:
    """The question of a body, which belongs to the trace of this id. Raises msgspec's errors for what is none, Refusal for what may not be asked."""
    read: DecisionRequest = _DECODER.decode(body)
    return question(read, core.now(allowed(core, read.at)), trace)


def question(body: DecisionRequest, at: datetime, trace: str = "") -> Asked:
    """As the core takes it; without a request id it gets one of its own."""
    decision_id = CHANCE.name(at)
    return Asked(
        decision_id=decision_id,
        request_id=_name(body.request_id, decision_id),
        member_id=body.member_id,
        at=at,
        context=Context(body.surface, at.hour, at.weekday()),
        channels=tuple(body.channels) if body.channels is not None else None,
        exclude=tuple(sorted(set(body.exclude))),
        trace_id=trace,
    )


def _name(request_id: str | None, decision_id: str) -> str:
    if request_id is None:
        return UNNAMED + decision_id
    if request_id.startswith(UNNAMED):
        raise Refusal(422, "Invalid request", f"A request id must not begin with {UNNAMED!r}: the service names requests so that have none. Choose another.")
    return request_id


async def settled(core: Core, asked: Asked) -> Served:
    """The durable decision. Raises Refusal as `standing`."""
    found: Served | Exception
    try:
        found = await core.decider.ask(asked)
    except (Busy, Overdue, Unlogged) as error:
        found = error
    return standing(asked, found)


def standing(asked: Asked, found: Served | Exception) -> Served:
    """What the decider gave, where it answers the question. Raises Refusal: 503 where it could not be kept, 409 where the request id was used for another
    question; and whatever else is no answer.
    """
    match found:
        case Busy():
            raise Refusal(
                503, "Too busy", "Too many requests wait already, so this one was not taken. Try again shortly, or add workers.", {"Retry-After": "1"}
            )
        case Unlogged():  # the log has its reason, which may name hosts
            raise Refusal(503, "Log unavailable", "The decision could not be kept, so nothing may be shown. Try again shortly.", {"Retry-After": "1"})
        case Overdue():
            again = "." if asked.request_id.startswith(UNNAMED) else ", with the same request_id: the decision counts once."
            raise Refusal(503, "Log unavailable", f"The log has not answered in time, so nothing may be shown. Ask again shortly{again}", {"Retry-After": "1"})
        case Exception():
            raise found
    if found.asked is not asked and not _same(found.asked, asked):
        raise Refusal(
            409,
            "Request id reused",
            f"Request {asked.request_id!r} was already answered for another member, surface, channels or exclusions. Give each question its own id.",
        )
    return found


def _same(one: Asked, other: Asked) -> bool:
    """Whether two questions ask the same. Where both say what they offer, that counts; else what they rule out."""
    offers, others = _offers(one), _offers(other)
    alike = offers == others if offers and others else set(one.exclude) - offers == set(other.exclude) - others
    return alike and _said(one) == _said(other)


def _offers(asked: Asked) -> set[str]:
    return {name for name in asked.exclude if name.startswith(OFFERED)}


def _said(asked: Asked) -> tuple[object, ...]:
    channels = None if asked.channels is None else frozenset(asked.channels)
    return asked.member_id, asked.context.surface, channels


def allowed(core: Core, at: datetime | None) -> datetime | None:
    """The instant that a request asks for. Raises Refusal where it may not, or where nothing could be added to it."""
    if at is not None and core.settings.serving.clock is not Clock.DATA:
        raise Refusal(422, "Invalid request", "`at` is only for a service on the data's clock (serving.clock = data): here the time is now. Leave it out.")
    if at is not None and not BEGINNING <= at < END:
        raise Refusal(422, "Invalid request", f"`at` is {at.isoformat()}, outside of {BEGINNING.year} to {END.year}. Nothing was decided.")
    return at
