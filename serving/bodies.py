"""Bodies of requests, read strictly: what is wrong is named, and where."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum
from functools import cache
from typing import Any, TypeVar

import msgspec
from fastapi import Request
from msgspec.inspect import CollectionType, EnumType, Metadata, StructType, Type, UnionType, type_info
from starlette.requests import ClientDisconnect

from serving.problems import Refusal

T = TypeVar("T")

_NO_MEMBER = re.compile(r"Invalid enum value .*?(?: - at `\$(?P<path>[^`]*)`)?", re.DOTALL)
_PART = re.compile(r"\.([^.\[]+)|\[[^\]]*\]")


async def read(request: Request, decoder: msgspec.json.Decoder[T]) -> T:
    """The body as `decoder`'s type. Raises Refusal: 400 where it is no JSON, 415 where it says to be something else or is packed, 422 where it breaks the
    schema.
    """
    kind = request.headers.get("content-type", "application/json").split(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, "Unsupported media type", f"The body says to be {kind!r}; send application/json.")
    packed = ", ".join(request.headers.getlist("content-encoding")).strip().lower()
    if packed not in {"", "identity"}:
        said = f"The body is encoded as {packed!r}, which nobody here unpacks. Send it unencoded, without Content-Encoding."
        raise Refusal(415, "Unsupported content encoding", said, {"Accept-Encoding": "identity"})
    try:
        body = await request.body()
    except ClientDisconnect:
        raise Refusal(400, "Incomplete request", "The caller went away before the body was there. Nothing was decided or applied.") from None
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Refusal(422, "Invalid request", f"{wrong(error, decoder.type)}. Nothing was decided or applied.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "Malformed JSON", f"{error}. Nothing was decided or applied.") from None


def decoder(kind: Any) -> msgspec.json.Decoder[Any]:  # noqa: ANN401 - msgspec takes any type, a union too
    """Reads `kind`."""
    return msgspec.json.Decoder(kind)


def wrong(error: msgspec.ValidationError, kind: Any) -> str:  # noqa: ANN401 - whatever type was to be read
    """What breaks the schema of `kind`; of a closed set, which values it has."""
    found = _NO_MEMBER.fullmatch(str(error))
    if found is None:
        return str(error)
    sets = _sets(_known(kind), [part[1] for part in _PART.finditer(found["path"] or "")])
    allowed = ", ".join(repr(member.value) for closed in sets for member in closed)
    return f"{error}; allowed: {allowed}" if allowed else str(error)


@cache
def _known(kind: Any) -> Type:  # noqa: ANN401 - as above
    return type_info(kind)


def _sets(kind: Type, path: Sequence[str | None]) -> list[type[Enum]]:
    """The enums at `path`: names of fields, and None for an item."""
    found = _members(kind)
    for part in path:
        found = [inner for each in found for inner in _inside(each, part)]
    return [each.cls for each in found if isinstance(each, EnumType)]


def _inside(kind: Type, part: str | None) -> list[Type]:
    match kind:
        case CollectionType() if part is None:
            return _members(kind.item_type)
        case StructType():
            return [inner for field in kind.fields if field.encode_name == part for inner in _members(field.type)]
        case _:
            return []


def _members(kind: Type) -> list[Type]:
    """Those of a union, or `kind` itself."""
    match kind:
        case UnionType():
            return [member for each in kind.types for member in _members(each)]
        case Metadata():
            return _members(kind.type)
        case _:
            return [kind]
