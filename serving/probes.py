"""Health, readiness and metrics."""

from __future__ import annotations

from datetime import UTC
from math import nan

import msgspec
from fastapi import Request
from starlette.responses import Response

from serving import learner_status
from serving.champion import EXPERIMENT
from serving.core import Core
from training.domain.aliases import ANCHOR, CHALLENGER, CHAMPION, PREVIOUS

JSON = "application/json"
BESIDE = {EXPERIMENT, CHALLENGER, ANCHOR, PREVIOUS}


async def healthz(core: Core, request: Request) -> Response:
    """Alive: the loop answers."""
    del core, request
    return Response(b'{"status":"alive"}', media_type=JSON)


async def readyz(core: Core, request: Request) -> Response:
    """200 where decisions are those of a champion; 503 while none is there or something cannot be read. Decisions are answered, safely, in both cases.

    What fails of an experiment or of the version before is said, and no reason to ask another worker.
    """
    del request
    champion = core.watch.champion
    troubles = {part: f"{words.partition(':')[0]}; the service's log has the words" for part, words in dict(core.watch.troubles).items()}  # anybody may ask
    if champion is None:
        troubles.setdefault(CHAMPION, "there is none yet: the safe default answers")
    if core.lookup.open:
        troubles["features"] = "the online store does not answer in time"
    body = {
        "status": "degraded" if troubles else "ready",
        "champion": champion.version if champion else None,
        "posterior": champion.posterior if champion else None,
        "experiment": _experiment(core),
        "troubles": troubles,
    }
    return Response(msgspec.json.encode(body), 503 if troubles.keys() - BESIDE else 200, media_type=JSON)


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
    return Response(core.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
