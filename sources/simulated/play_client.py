"""The decision service as a world calls it: many questions at once, each repeated with its own id until it is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

from training.domain.errors import NotReadyError, RightmatchError, StepError

PATIENCE = 60.0
"""Seconds for which a service that is down or too busy is asked again."""
AGAIN = 0.25
KNOCK = 10.0
"""Seconds that a service has for its first answer."""
NOTHING: tuple[tuple[str, object], ...] = (("/v1/decisions", {}), ("/v1/outcomes", []))
"""Requests that a service refuses as empty, without a change of anything, where it would take others of this key."""
EMPTY = 422
LATER = frozenset({429, 502, 503, 504})
"""Answers that say: not now."""
MOST = 1_000
"""Outcomes of one request."""


@dataclass(frozen=True)
class Answer:
    """One decision as a caller sees it. `arm` is "none" where nothing is shown."""

    decision_id: str
    arm: str
    propensity: float
    reason: str
    model_version: str


class Service:
    """`connections` requests are under way at most. Use it in `async with`."""

    def __init__(self, url: str, key: str, connections: int) -> None:
        self._url, self._connections = url.rstrip("/"), connections
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        headers = {"Authorization": f"Bearer {key}"}
        self._http = httpx.AsyncClient(base_url=self._url, headers=headers, limits=limits, timeout=30.0, trust_env=False)

    async def __aenter__(self) -> Self:
        """Open the connections."""
        await self._http.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Close them."""
        await self._http.__aexit__(kind, error, trace)

    async def knock(self) -> None:
        """Whether somebody is there who will answer, asked before anything is made ready for it; nothing is decided or applied.

        Raises NotReadyError at once where nobody listens, StepError where the key is refused. One that is busy may be so.
        """
        for path, body in NOTHING:
            try:
                answer = await self._http.post(path, json=body, timeout=KNOCK)
            except httpx.TransportError as error:
                raise NotReadyError(f"The service at {self._url} does not answer ({type(error).__name__}: {error}). {_START}.") from None
            if answer.status_code != EMPTY and answer.status_code not in LATER:
                raise self._refused(path, answer)

    async def decide(self, questions: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """Answers in the order of the questions. Raises NotReadyError if the service stays away, StepError if it refuses one."""
        answers: dict[int, Answer] = {}
        waiting = iter(enumerate(questions))
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self._connections, len(questions))):
                    group.create_task(self._some(waiting, answers))
        except* RightmatchError as several:
            raise several.exceptions[0] from None  # one of them says what all would
        return [answers[place] for place in range(len(questions))]

    async def tell(self, outcomes: Sequence[Mapping[str, Any]]) -> None:
        """Post outcomes in their order; what was told before is no harm. Raises as `decide`; StepError names the first outcome that was refused."""
        for begin in range(0, len(outcomes), MOST):
            await self._post("/v1/outcomes", outcomes[begin : begin + MOST])

    async def _some(self, waiting: Iterator[tuple[int, Mapping[str, Any]]], answers: dict[int, Answer]) -> None:
        for place, question in waiting:
            found = await self._post("/v1/decisions", question)
            arm = found["arm"]["arm_id"] if found["arm"] else "none"
            answers[place] = Answer(found["decision_id"], arm, float(found["propensity"]), found["reason"], found["model_version"] or "")

    async def _post(self, path: str, body: object) -> dict[str, Any]:
        give_up = asyncio.get_running_loop().time() + PATIENCE
        while True:
            try:
                answer = await self._http.post(path, json=body)
            except httpx.TransportError as error:
                why = f"{type(error).__name__}: {error}"
            else:
                if answer.is_success:
                    found: dict[str, Any] = answer.json()
                    return found
                if answer.status_code not in LATER:
                    raise self._refused(path, answer)
                why = f"{answer.status_code} {_words(answer)}"
            if asyncio.get_running_loop().time() > give_up:
                raise NotReadyError(
                    f"The service at {self._url} did not answer POST {path} for {PATIENCE:g} s ({why}). {_START}: what was answered is not asked again."
                )
            await asyncio.sleep(AGAIN)

    def _refused(self, path: str, answer: httpx.Response) -> StepError:
        return StepError(f"The service at {self._url} refused POST {path} ({answer.status_code}), so the world stands still: {_words(answer)}")


_START = "Start it with `rightmatch serve` and RIGHTMATCH_SERVING__CLOCK=data, then play on"


def _words(answer: httpx.Response) -> str:
    """What a problem says, shortly."""
    try:
        problem = answer.json()
    except ValueError:
        return answer.text[:300]
    refused = (problem.get("refused") or [{}])[0]
    parts = [problem.get("detail") or problem.get("title") or "", *(f"{refused.get('outcome_id')}: {why}" for why in [refused.get("why")] if why)]
    return " ".join(str(p) for p in parts if p)[:500]
