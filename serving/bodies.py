"""Bodies of requests, read strictly: what is wrong is named, and where."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from fastapi import Request
from starlette.requests import ClientDisconnect

from serving.problems import Refusal

T = TypeVar("T")


async def read(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as `decoder`'s type. Raises Refusal: 400 where it is no JSON, 415 where it says to be something else, 422 where it breaks the schema."""
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "Unsupported media type", f"The body says to be {kind!r}; send application/json.")
    try:
        body = await request.body()
    except ClientDisconnect:
        raise Refusal(400, "Incomplete request", "The caller went away before the body was there. Nothing was decided or applied.") from None
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(422, "Invalid request", f"{error}. Nothing was decided or applied.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "Malformed JSON", f"{error}. Nothing was decided or applied.") from None


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - msgspec takes any type, a union too
    """Reads `kind`."""
    return msgspec.json.Decoder(kind)
