"""The interface of Azure Personalizer (retired 2026-10-01) over the same core: rank, reward, activate, under each version that clients call it by.

Actions are arm ids. `member_id`, and `surface` where it is not the default, stand among the context features. What may not be shown is not ranked first,
whoever asks: with no action left the answer is `none`, which a caller must be ready to show.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Annotated, Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from serving import bodies
from serving.core import Core
from serving.decisions import OFFERED, question, settled
from serving.messages import DecisionRequest, Name
from serving.outcomes import apply
from serving.problems import Refusal
from serving.trace import trace_id
from training.adapters.log_keys import Scope
from training.domain.nouns import NONE, Outcome, OutcomeKind, Surface
from training.domain.served import Served


class Action(msgspec.Struct):
    """One action: an arm of the catalog. Its features are those of the catalog, so the caller's are not read."""

    id: Name
    features: list[Any] | None = None


class RankRequest(msgspec.Struct, rename="camel"):
    """A context, and the actions to choose from. As with Azure, null is the same as left out."""

    actions: Annotated[list[Action], msgspec.Meta(min_length=1, max_length=512)]
    context_features: list[dict[str, Any]] | None = None
    excluded_actions: list[Name] | None = None
    event_id: Name | None = None
    defer_activation: bool | None = None


class Ranked(msgspec.Struct):
    """One action and its probability."""

    id: str
    probability: float


class RankAnswer(msgspec.Struct, rename="camel"):
    """The choice first, then the others by probability."""

    ranking: list[Ranked]
    event_id: str
    reward_action_id: str


class RewardRequest(msgspec.Struct):
    """What the choice earned; above 0 it counts as `serving.personalizer_reward`."""

    value: float


_RANK, _REWARD = bodies.decoder(RankRequest), bodies.decoder(RewardRequest)


async def rank(core: Core, request: Request) -> Response:
    """POST /personalizer/VERSION/rank."""
    body: RankRequest = await bodies.read(request, _RANK)
    served = await settled(core, question(await _question(core, body), core.now(), trace_id(request)))
    probabilities = dict(zip(served.feasible, served.p.tolist(), strict=True))
    ids = list(dict.fromkeys([served.chosen_arm, *(a.id for a in body.actions)]))
    others = sorted(ids[1:], key=lambda arm: -probabilities.get(arm, 0.0))
    ranking = [Ranked(arm, probabilities.get(arm, 0.0)) for arm in [ids[0], *others]]
    answer = RankAnswer(ranking, served.asked.request_id, served.chosen_arm)
    return Response(msgspec.json.encode(answer), 201, media_type="application/json")


async def reward(core: Core, request: Request) -> Response:
    """POST /personalizer/VERSION/events/{id}/reward: of a known event no reward is no news, since the window closes by itself."""
    body: RewardRequest = await bodies.read(request, _REWARD)
    at = core.now()
    served = await _known(core, request.path_params["event_id"], at)
    if body.value > 0:
        await _report(core, served, core.settings.serving.personalizer_reward, at)
    return Response(status_code=204)


async def activate(core: Core, request: Request) -> Response:
    """POST /personalizer/VERSION/events/{id}/activate: the choice was seen."""
    at = core.now()
    await _report(core, await _known(core, request.path_params["event_id"], at), OutcomeKind.IMPRESSION, at)
    return Response(status_code=204)


VERSIONS = ("v1.1", "v1.0", "v1.1-preview.1", "v1.1-preview.2", "v1.1-preview.3")
"""Of Azure's paths; the first one is described under /openapi.json."""
ROUTES = tuple(
    (f"/personalizer/{version}/{path}", scope, handler)
    for version in VERSIONS
    for path, scope, handler in (
        ("rank", Scope.DECIDE, rank),
        ("events/{event_id:path}/reward", Scope.OUTCOMES, reward),
        ("events/{event_id:path}/activate", Scope.OUTCOMES, activate),
    )
)
"""Path, scope and handler of each operation; an event's id may hold slashes."""


async def _question(core: Core, body: RankRequest) -> DecisionRequest:
    about = dict(_features(body.context_features or []))
    try:
        known = msgspec.convert({"member_id": about.get("member_id"), "surface": about.get("surface", core.settings.serving.personalizer_surface.value)}, _Who)
    except msgspec.ValidationError as error:
        raise Refusal(
            422, "Invalid request", f'The context features name no usable member: {bodies.wrong(error, _Who)}. Add {{"member_id": "..."}} to them.'
        ) from None
    catalog = core.watch.world.menus.catalog.arms
    offered = {a.id for a in body.actions}
    unknown = sorted(offered - set(catalog) - {NONE})
    if unknown and not (body.event_id and await _earlier(core, body.event_id, core.now())):  # of an event that stands an arm may have gone since
        raise Refusal(422, "Invalid request", f"Action {unknown[0]!r} is no arm of the catalog, so nothing is known of it. Add it there, or use arm ids.")
    allowed = offered - set(body.excluded_actions or [])
    ruled_out = [arm for arm in catalog if arm not in allowed]
    return DecisionRequest(known.member_id, known.surface, exclude=[*ruled_out, _offers(allowed)], request_id=body.event_id)


def _offers(allowed: set[str]) -> str:
    return OFFERED + sha256("\n".join(sorted(allowed - {NONE})).encode()).hexdigest()[:32]


class _Who(msgspec.Struct):
    member_id: Name
    surface: Surface


def _features(context: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    for part in context:
        for name, value in part.items():
            if isinstance(value, Mapping):
                yield from value.items()
            else:
                yield name, value


async def _known(core: Core, event: str, at: datetime) -> Served:
    served = await _earlier(core, event, at)
    if served is None:
        raise Refusal(404, "Unknown event", f"No rank request with the event id {event!r} is known, so nothing can be counted. Use the id that rank returned.")
    return served


async def _earlier(core: Core, event: str, at: datetime) -> Served | None:
    return (await core.reads.ask(core.log.read, [], [event], at)).earlier.get(event)


async def _report(core: Core, served: Served, kind: OutcomeKind, at: datetime) -> None:
    if served.chosen_arm == NONE and kind is not OutcomeKind.CONVERSION:
        return
    decision = served.asked.decision_id
    outcome = Outcome(f"personalizer-{kind.value}-{decision}", decision, kind, max(at, served.asked.at))
    if await _told(core, outcome):
        return
    answer = await apply(core, [(0, outcome)])
    if answer.refused and not await _told(core, outcome):  # by somebody who was quicker, at another instant
        raise Refusal(422, "Outcome refused", f"{answer.refused[0].why}. Nothing was applied.")


async def _told(core: Core, outcome: Outcome) -> bool:
    told = await core.reads.ask(core.log.outcomes_of, outcome.decision_id)
    return any(one.outcome_id == outcome.outcome_id for one in told)
