"""GET /v1/decisions/{id}: the funnel of one decision."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from fastapi import Request
from starlette.responses import Response

from serving.core import Core
from serving.explain import model_of, window_of
from serving.messages import ArmConsidered, DecisionRecord, OutcomeItem, shown
from serving.metrics import hours
from serving.patience import in_time
from serving.problems import Refusal
from training.domain.errors import RightmatchError
from training.domain.nouns import Outcome
from training.domain.served import FALLBACK, Served
from training.model.compiled import Compiled


async def show(core: Core, request: Request) -> Response:
    """Everything that was kept, and what the model that took it thought of each arm."""
    decision_id = request.path_params["decision_id"]
    served = await in_time(core.patience, core.log.find, decision_id)
    if served is None:
        raise Refusal(404, "Unknown decision", f"There is no decision {decision_id!r} in the log. Check the id.")
    told = await in_time(core.patience, core.log.outcomes_of, decision_id)
    record = await asyncio.to_thread(_record, core, served, told)  # a model may have to be rebuilt for it
    return Response(msgspec.json.encode(record), media_type="application/json")


def _record(core: Core, served: Served, told: Sequence[Outcome]) -> DecisionRecord:
    considered, explained, window = _considered(core, served)
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
        considered=considered,
        excluded=dict(served.excluded),
        features=dict(served.features),
        features_at=served.features_at,
        feature_age_hours=hours(asked.at, served.features_at) if served.features_at else None,
        feature_service=served.feature_service,
        model_version=served.model_version or None,
        posterior=served.posterior,
        arms_version=served.arms_version,
        data_window=dict(window),
        u=served.u,
        trace_id=asked.trace_id,
        explained=explained,
        outcomes=[OutcomeItem(o.outcome_id, o.decision_id, o.kind, o.occurred_at, o.value) for o in told],
    )


def _considered(core: Core, served: Served) -> tuple[list[ArmConsidered], str, Mapping[str, str]]:
    plain = [ArmConsidered(arm, p) for arm, p in zip(served.feasible, served.p.tolist(), strict=True)]
    try:
        model = _model(core, served)
    except RightmatchError as error:
        return plain, str(error), {}
    if model is None:
        return plain, _alike(served), {}
    where = [model.arm_ids.index(arm) for arm in served.feasible]
    moments = model.moments(served.features, served.asked.context, where)
    arms = [ArmConsidered(a.arm_id, a.propensity, float(m), float(s)) for a, m, s in zip(plain, moments.mean, moments.deviation, strict=True)]
    return arms, "", window_of(served.model_version, core.registry)


def _alike(served: Served) -> str:
    """Why no model has anything to say of a decision."""
    if served.group == FALLBACK:
        return f"The safe default ({served.reason.value}) is certain by definition, so no model has a mean or a deviation for it."
    return f"Every feasible arm could win alike ({served.reason.value}), so no model has a mean or a deviation for it."


def _model(core: Core, served: Served) -> Compiled | None:
    """The one that decides where it is still the same, with scratch space of its own since that one is deciding; else rebuilt. None as `model_of`."""
    now, notes = core.watch.loaded(served.model_version), core.watch.world.notes
    same = served.notes.items() >= notes.items()  # policy and catalog
    if now is not None and same and (now.version, now.posterior, now.arms_version) == (served.model_version, served.posterior, served.arms_version):
        return now.with_heads({}, now.posterior)
    return model_of(served, core.log, core.registry, core.settings)
