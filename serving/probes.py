"""Health, readiness and metrics."""

from __future__ import annotations

import asyncio
from datetime import UTC
from math import nan

import msgspec
from fastapi import Request
from starlette.responses import Response

from serving import learner_status
from serving.champion import EXPERIMENT
from serving.core import Core
from training.config.serving import Without
from training.domain.aliases import ANCHOR, CHALLENGER, CHAMPION, PREVIOUS

JSON = "application/json"
LEARNER = "learner"
BESIDE = {EXPERIMENT, CHALLENGER, ANCHOR, PREVIOUS, LEARNER}
_INSTEAD = {Without.NONE: "the safe default answers", Without.UNIFORM: "every feasible arm wins alike, which gathers a first log"}


async def healthz(core: Core, request: Request) -> Response:
    """Alive: the loop answers."""
    del core, request
    return Response(b'{"status":"alive"}', media_type=JSON)


async def readyz(core: Core, request: Request) -> Response:
    """200 where decisions are real; 503 while they are the safe default's (no champion is there, something cannot be read, features are too old), which is an
    answer too, or refused because the log does not answer.

    What fails of an experiment or of the version before is said, and no reason to ask another worker; nor is it that nobody is champion yet where every arm
    winning alike is meant meanwhile, or that nobody is any more: the last one goes on, but in a worker that has started since.
    """
    del request
    serving, champion = core.settings.serving, core.watch.champion
    last = _last(core) if champion is None and core.watch.unnamed else ""
    gathering = champion is None and not last and CHAMPION not in core.watch.troubles and serving.without_champion is Without.UNIFORM
    beside = BESIDE | {CHAMPION} if gathering else BESIDE
    troubles = {part: f"{words.partition(':')[0]}; the service's log has the words" for part, words in dict(core.watch.troubles).items()}  # anybody may ask
    if champion is None:
        whence = f"nobody is any more by the registry, where version {last} was, and this worker has started since" if last else "there is none yet"
        troubles.setdefault(CHAMPION, f"{whence}: {_INSTEAD[serving.without_champion]}")
    elif core.watch.unnamed:
        troubles[LEARNER] = f"nobody is champion any more by the registry: version {champion.version} goes on deciding, and nobody learns from it"
    if core.watch.newest is not None and core.now() - core.watch.newest > serving.features_max_age:
        troubles["features"] = f"the newest are more than {serving.features_max_age_hours:g} hours old: the safe default answers"
    if core.lookup.open:
        troubles["features"] = "the online store does not answer in time"
    if core.decider.hangs or core.ingest.hangs:
        troubles["log"] = "it does not answer: what cannot be kept is refused"
    body = {
        "status": "degraded" if troubles else "ready",
        "champion": champion.version if champion else None,
        "posterior": champion.posterior if champion else None,
        "experiment": _experiment(core),
        "troubles": troubles,
    }
    return Response(msgspec.json.encode(body), 503 if troubles.keys() - beside else 200, media_type=JSON)


def _last(core: Core) -> str:
    """The champion that the learner knew last, or an empty text."""
    status = learner_status.read(core.settings.posterior)
    return status.model_version if status else ""


def _experiment(core: Core) -> dict[str, object] | None:
    """The one that runs, the stage of today, and the challenger as it decides."""
    running, groups = core.watch.running, core.watch.world.groups
    if running is None:
        return None
    stage = groups.split.stage(core.now().astimezone(UTC).date())
    return {
        "experiment_id": running.experiment_id,
        "stage": stage,
        "challenger": running.challenger,
        "posterior": groups.challenger.posterior if groups.challenger else None,
    }


async def metrics(core: Core, request: Request) -> Response:
    """Prometheus' text."""
    del request
    behind = learner_status.behind(core.settings.posterior, core.wall())
    core.metrics.lag(nan if behind is None else behind)
    return Response(await asyncio.to_thread(core.metrics.text), media_type="text/plain; version=0.0.4; charset=utf-8")
