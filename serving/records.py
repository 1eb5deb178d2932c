"""GET /v1/decisions/{id}: the funnel of one decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from fastapi import Request
from starlette.responses import Response

from serving.core import Core
from serving.messages import ArmConsidered, DecisionRecord, OutcomeItem, shown
from serving.metrics import hours
from serving.patience import Crowded, Overdue
from serving.problems import Refusal
from serving.rebuilding import WAITING
from training.domain.errors import RightmatchError
from training.domain.nouns import Outcome
from training.domain.served import FALLBACK, Served


async def show(core: Core, request: Request) -> Response:
    """Everything that was kept, and what the model that took it thought of each arm."""
    decision_id = request.path_params["decision_id"]
    served = await core.reads.ask(core.log.find, decision_id)
    if served is None:
        raise Refusal(404, "Unknown decision", f"There is no decision {decision_id!r} in the log. Check the id.")
    told = await core.reads.ask(core.log.outcomes_of, decision_id)
    record = _record(served, told, await _considered(core, served))
    return Response(msgspec.json.encode(record), media_type="application/json")


class Considered(NamedTuple):
    """The arms of a decision, why nothing more is known of them, and what their model learned from."""

    arms: list[ArmConsidered]
    why: str
    window: Mapping[str, str]


def _record(served: Served, told: Sequence[Outcome], considered: Considered) -> DecisionRecord:
    asked = served.asked
    return DecisionRecord(
        decision_id=asked.decision_id,
        request_id=asked.request_id,
        member_id=asked.member_id,
        surface=asked.context.surface.value,
        decided_at=asked.at,
        expires_at=served.expires_at,
        arm=shown(served),
        propensity=served.propensity,
        reason=served.reason.value,
        assignment_group=served.group,
        considered=considered.arms,
        excluded=dict(served.excluded),
        features=dict(served.features),
        features_at=served.features_at,
        feature_age_hours=hours(asked.at, served.features_at) if served.features_at else None,
        feature_service=served.feature_service,
        model_version=served.model_version or None,
        posterior=served.posterior,
        arms_version=served.arms_version,
        data_window=dict(considered.window),
        u=served.u,
        trace_id=asked.trace_id,
        explained=considered.why,
        outcomes=[OutcomeItem(o.outcome_id, o.decision_id, o.kind, o.occurred_at, o.value) for o in told],
    )


async def _considered(core: Core, served: Served) -> Considered:
    plain = [ArmConsidered(arm, p) for arm, p in zip(served.feasible, served.p.tolist(), strict=True)]
    if not served.model_version:
        return Considered(plain, _alike(served), {})
    try:
        moments, window = await core.rebuilding.explain(served)
    except Crowded:
        words = f"{WAITING} funnels wait for the model of their decision already, so this one was not begun. Try again shortly, and ask for fewer at once."
        raise Refusal(503, "Too many funnels", words, {"Retry-After": "1"}) from None
    except Overdue:
        words = f"The log or the registry did not give the model of this decision within {core.patience:g} s. What has begun goes on, so ask again shortly."
        raise Refusal(503, "Model not rebuilt in time", words, {"Retry-After": "1"}) from None
    except (RightmatchError, OSError) as error:
        return Considered(plain, str(error), {})
    arms = [ArmConsidered(a.arm_id, a.propensity, float(m), float(s)) for a, m, s in zip(plain, moments.mean, moments.deviation, strict=True)]
    return Considered(arms, "", window)


def _alike(served: Served) -> str:
    """Why no model has anything to say of a decision."""
    if served.group == FALLBACK:
        return f"The safe default ({served.reason.value}) is certain by definition, so no model has a mean or a deviation for it."
    return f"Every feasible arm could win alike ({served.reason.value}), so no model has a mean or a deviation for it."
