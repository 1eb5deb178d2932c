"""POST /v1/outcomes: acknowledged once durable, applied once by id."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from fastapi import Request
from starlette.responses import Response

from serving import bodies
from serving.core import Core
from serving.ingest import Crowded
from serving.messages import MOST_OUTCOMES, Name, OutcomeAnswer, OutcomeItem, Refused
from serving.patience import Overdue
from serving.problems import Refusal, partly
from training.adapters.log_outcomes import Answer
from training.domain.nouns import Outcome


class _Named(msgspec.Struct):
    """What is told of an item that breaks the schema."""

    outcome_id: Name | None = None


_DECODER = bodies.decoder(OutcomeItem | list[msgspec.Raw])
_ITEM, _NAMED = bodies.decoder(OutcomeItem), bodies.decoder(_Named)


async def take(core: Core, request: Request) -> Response:
    """Apply what can be applied, name the rest."""
    body: OutcomeItem | list[msgspec.Raw] = await bodies.read(request, _DECODER)
    if isinstance(body, list) and not 1 <= len(body) <= MOST_OUTCOMES:
        raise Refusal(422, "Invalid request", f"A batch has 1 to {MOST_OUTCOMES} outcomes, this one {len(body)}. Nothing was applied.")
    items, refused = _items(body) if isinstance(body, list) else ([(0, _outcome(body))], [])
    answer = await apply(core, items)
    refused = sorted([*refused, *answer.refused], key=lambda r: r.index)
    if refused:
        return partly(answer, refused, request.url.path)
    return Response(msgspec.json.encode(answer), media_type="application/json")


async def apply(core: Core, items: Sequence[tuple[int, Outcome]]) -> OutcomeAnswer:
    """Append outcomes (with their place in the batch) in one transaction. Raises Refusal 503 where the log cannot be written: then none is applied;
    and where it does not answer: then they may be.
    """
    if not items:
        return OutcomeAnswer(0, 0)
    try:
        receipts = await core.ingest.take([o for _, o in items], core.received())
    except Crowded:
        raise Refusal(503, "Too busy", "Too many outcomes wait already, so none was taken. Send them again shortly.", {"Retry-After": "1"}) from None
    except Overdue:
        words = "The log has not answered in time, so the outcomes may be kept or not. Send them again with the same ids: each counts once."
        raise Refusal(503, "Log unavailable", words, {"Retry-After": "1"}) from None
    except Exception as error:  # noqa: BLE001 - whatever the log raises, the caller must know that nothing was kept
        core.metrics.trouble("log", error)
        raise Refusal(503, "Log unavailable", "The outcomes could not be kept, so none was applied. Send them again.", {"Retry-After": "1"}) from None
    core.metrics.outcomes([o.kind.value for _, o in items], [r.answer.value for r in receipts])
    refused = [Refused(i, o.outcome_id, r.why) for (i, o), r in zip(items, receipts, strict=True) if r.answer is Answer.REFUSED]
    states = [r.answer.value for r in receipts]
    return OutcomeAnswer(states.count("accepted"), states.count("repeated"), refused)


def _items(raw: Sequence[msgspec.Raw]) -> tuple[list[tuple[int, Outcome]], list[Refused]]:
    items: list[tuple[int, Outcome]] = []
    refused: list[Refused] = []
    for index, one in enumerate(raw):
        try:
            item: OutcomeItem = _ITEM.decode(one)
        except msgspec.ValidationError as error:
            refused.append(Refused(index, _id(one), bodies.wrong(error, OutcomeItem)))
            continue
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            refused.append(Refused(index, _id(one), str(error)))
            continue
        items.append((index, _outcome(item)))
    return items, refused


def _id(raw: msgspec.Raw) -> str | None:
    """The id of an item that breaks the schema elsewhere, None where it has none that could be one."""
    try:
        named: _Named = _NAMED.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return named.outcome_id


def _outcome(item: OutcomeItem) -> Outcome:
    return Outcome(item.outcome_id, item.decision_id, item.kind, item.occurred_at, item.value)
