"""The OpenAPI 3.1 description, made from the messages that the routes read and write."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI

from serving import messages, personalizer
from serving.examples import ANSWER, MALFORMED, METRICS, OUTCOMES, OUTCOMES_ANSWER, PROBLEMS, QUESTION, RANK, RANK_ANSWER, READY, RECORD, UNREADY
from serving.problems import MEDIA, kind

REF = "#/components/schemas/{name}"
_KINDS = (
    messages.DecisionRequest,
    messages.DecisionAnswer,
    messages.OutcomeItem,
    messages.OutcomeAnswer,
    messages.DecisionRecord,
    messages.Problem,
    personalizer.RankRequest,
    personalizer.RankAnswer,
    personalizer.RewardRequest,
)
_ERRORS = {
    "400": "What came is no request of HTTP/1.1, or its body is no JSON.",
    "401": "No valid key.",
    "403": "The key lacks the scope.",
    "404": "Unknown.",
    "409": "The request id was used for another question.",
    "413": "The body is too large.",
    "415": "The body is not JSON by its content type, or has a content encoding.",
    "422": "The request breaks the schema or a rule; the detail names what.",
    "429": "Too many requests of this key.",
    "431": "The request's line and headers are too large, or too many; the connection ends.",
    "500": "The service failed on this request; its log says why.",
    "503": "Cannot be answered now; try again.",
}
_HEAD = ("400", "431")
"""What any request may get, before it is known what it asks for."""
_READ = (*_HEAD, "401", "403", "429", "500", "503")
_WRITE = (*_READ, "413", "415", "422")


def install(app: FastAPI) -> None:
    """Let `app` answer /openapi.json with `description()`."""
    whole = description(app.title)
    app.openapi = lambda: whole  # type: ignore[method-assign]


def description(title: str) -> dict[str, Any]:
    """The whole document."""
    _, components = msgspec.json.schema_components(_KINDS, ref_template=REF)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": title,
            "version": "1",
            "description": "Decides what to offer to whom, keeps the exact propensity of each decision, and learns from the outcomes.",
        },
        "paths": _paths(),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "rm_KEYID_SECRET, made by `rightmatch keys create`"},
                "personalizer": {"type": "apiKey", "in": "header", "name": "Ocp-Apim-Subscription-Key"},
            },
        },
        "security": [{"key": []}],
    }


def _paths() -> dict[str, Any]:
    decision, event = _parameter("decision_id", "The decision's id."), _parameter("event_id", "The event id of a rank.")
    ready = {"200": _any(READY), "503": _any(UNREADY)}
    either: list[dict[str, list[str]]] = [{"key": []}, {"personalizer": []}]
    return {
        "/v1/decisions": {"post": _post("decide", "Decide what to show to a member", "DecisionRequest", QUESTION, _ok("DecisionAnswer", ANSWER), "409")},
        "/v1/decisions/{decision_id}": {
            "parameters": [decision],
            "get": _operation("decision", "One decision with all that it was taken from", {"200": _ok("DecisionRecord", RECORD)}, (*_READ, "404")),
        },
        "/v1/outcomes": {
            "post": _post("outcomes", "Report what happened: one outcome, or up to 1,000", _OUTCOMES, OUTCOMES, _ok("OutcomeAnswer", OUTCOMES_ANSWER))
        },
        "/personalizer/v1.1/rank": {
            "post": _post("rank", "Azure Personalizer's rank: which of these arms", "RankRequest", RANK, _ok("RankAnswer", RANK_ANSWER), "409", status="201")
            | {"security": either}
        },
        "/personalizer/v1.1/events/{event_id}/reward": {
            "parameters": [event],
            "post": _post("reward", "Azure Personalizer's reward", "RewardRequest", {"value": 1.0}, _NOTHING, "404", status="204") | {"security": either},
        },
        "/personalizer/v1.1/events/{event_id}/activate": {
            "parameters": [event],
            "post": _operation("activate", "Azure Personalizer's activate: the choice was seen", {"204": _NOTHING}, (*_READ, "404", "422"))
            | {"security": either},
        },
        "/metrics": {"get": _operation("metrics", "Prometheus metrics", {"200": _text()}, _READ)},
        "/healthz": {"get": _operation("healthz", "Alive", {"200": _any({"status": "alive"})}, _HEAD) | {"security": []}},
        "/readyz": {"get": _operation("readyz", "Ready: 503 while decisions are the safe default's, or refused", ready, (*_HEAD, "500")) | {"security": []}},
    }


_ITEM = {"$ref": REF.format(name="OutcomeItem")}
_OUTCOMES: dict[str, Any] = {"anyOf": [_ITEM, {"type": "array", "minItems": 1, "maxItems": messages.MOST_OUTCOMES, "items": _ITEM}]}
_NOTHING: dict[str, Any] = {"description": "Done."}


def _post(name: str, summary: str, body: str | dict[str, Any], example: object, ok: dict[str, Any], *more: str, status: str = "200") -> dict[str, Any]:
    schema = body if isinstance(body, dict) else {"$ref": REF.format(name=body)}
    content = {"application/json": _media(schema, example)}
    whole = _operation(name, summary, {status: ok}, (*_WRITE, *more))
    whole["responses"]["400"]["content"][MEDIA] = _problem("400", MALFORMED)
    return whole | {"requestBody": {"required": True, "content": content}}


def _operation(name: str, summary: str, answers: dict[str, Any], errors: tuple[str, ...]) -> dict[str, Any]:
    problems = {status: {"description": _ERRORS[status], "content": {MEDIA: _problem(status, PROBLEMS[status])}} for status in sorted(errors)}
    return {"operationId": name, "summary": summary, "responses": {**answers, **problems}}


def _problem(status: str, example: tuple[str, str]) -> dict[str, Any]:
    title, detail = example
    return _media({"$ref": REF.format(name="Problem")}, {"type": kind(title), "title": title, "status": int(status), "detail": detail})


def _ok(name: str, example: object) -> dict[str, Any]:
    return {"description": "Done.", "content": {"application/json": _media({"$ref": REF.format(name=name)}, example)}}


def _any(example: object) -> dict[str, Any]:
    return {"description": "State.", "content": {"application/json": _media({"type": "object"}, example)}}


def _text() -> dict[str, Any]:
    return {"description": "Text.", "content": {"text/plain": _media({"type": "string"}, METRICS)}}


def _media(schema: dict[str, Any], example: object) -> dict[str, Any]:
    return {"schema": schema, "examples": {"usual": {"value": example}}}


def _parameter(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": {"type": "string", "minLength": 1, "maxLength": 128}}
