"""A decision as a row of the log and back, to the last bit. What has no column is one packed record with a checksum."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from sqlalchemy import RowMapping, String

from training.adapters.log_engine import instant, micros
from training.adapters.log_tables import decision_table
from training.domain.errors import DataError
from training.domain.nouns import Context, Surface
from training.domain.served import Asked, Reason, Served, shows

Row = Mapping[str, Any] | RowMapping
"""Column of `log_tables.decision_table` -> value."""


_MENUS = 512
"""Menus whose packed form is kept."""


class Menu(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What could have been shown, and why the rest could not: the same for most members, so it is packed once."""

    feasible: tuple[str, ...]
    excluded: dict[str, str]


class Record(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What else has no column. `p` is float64, little endian; order and types of the fields, and of those of the menu, are the format's version 3, to which
    fields with a default may be added at the end.
    """

    hour: int
    weekday: int
    channels: tuple[str, ...] | None
    exclude: tuple[str, ...]
    p: bytes
    arms_version: str
    feature_service: str
    features: dict[str, bool | int | float | str | None]
    features_at: int | None
    u: float
    notes: dict[str, str]
    trace_id: str = ""


def row_of(served: Served) -> dict[str, Any]:
    """The row, without `seq`. Raises ValueError for what could never be evaluated or read again: see `Decision` for the probabilities."""
    a, p, propensity = served.asked, np.asarray(served.p, dtype="<f8"), _checked(served)
    row: dict[str, Any] = {
        "decision_id": a.decision_id,
        "request_id": a.request_id,
        "member_id": a.member_id,
        "decided_at": micros(a.at),
        "surface": a.context.surface.value,
        "chosen_arm": served.chosen_arm,
        "channel_id": served.channel_id or None,
        "propensity": propensity,
        "assignment_group": served.group,
        "reason": served.reason.value,
        "model_version": served.model_version,
        "posterior": served.posterior,
        "expires_at": micros(served.expires_at),
        "record": pack(_record(served, p), served.feasible, served.excluded),
    }
    for name, most in _LENGTHS.items():
        if not keepable(row[name] or "", most):
            raise ValueError(f"{name} {row[name]!r} is longer than {most} characters or holds one that no database keeps")
    return row


def keepable(text: str, most: int) -> bool:
    """Whether every database keeps `text` in a column of `most` characters: Postgres knows no NUL, and half a surrogate pair has no encoding."""
    return len(text) <= most and "\0" not in text and (text.isascii() or not _HALF.search(text))


def served_of(row: Row) -> Served:
    """The decision of a row. Raises DataError that says what is damaged."""
    try:
        served = _served(row, *unpack(row["record"]))
        propensity = _checked(served)
        if propensity != row["propensity"]:
            raise ValueError(f"column propensity is {row['propensity']!r}, the record says {propensity!r}")  # noqa: TRY301 - told with the rest
    except (ValueError, OSError, struct.error, OverflowError) as error:  # msgspec's and Arrow's errors are ValueErrors
        raise DataError(
            f"Decision {row['decision_id']!r} of the log is damaged: {error}. It can neither be replayed nor learned from. Restore the log from a backup, or "
            "leave this decision out."
        ) from error
    return served


def pack(record: Record, feasible: tuple[str, ...], excluded: Mapping[str, str]) -> bytes:
    """Version; of record and menu length, packed length and CRC-32; then both as MessagePack, the record in LZ4, which is quick, and the menu in Zstandard,
    since it is packed once for many: 200 arms take 1.3 kB instead of 7.
    """
    own, menu = _packed(_ENCODER.encode(record), _LZ4), _menu(feasible, tuple(excluded.items()))
    return b"".join((_HEAD.pack(_VERSION, *own[:3], *menu[:3]), own[3], menu[3]))


def unpack(packed: bytes) -> tuple[Record, Menu]:
    """The other way round. Raises ValueError, OSError or struct.error for anything but what `pack` wrote, now or in versions 1 and 2."""
    if packed[:1] == b"\1":
        return _first(packed)
    version, size, long, mark, menu_size, menu_long, menu_mark = _HEAD.unpack_from(packed)
    if version not in _MENU_CODECS:
        raise ValueError(f"its record has format {version}, known is {_VERSION}")
    end = _HEAD.size + long
    if len(packed) != end + menu_long:
        raise ValueError(f"its record has {len(packed)} bytes, and says that they are {end + menu_long}")
    body, menu = _body(packed[_HEAD.size : end], size, mark, _LZ4), _body(packed[end:], menu_size, menu_mark, _MENU_CODECS[version])
    return _DECODER.decode(body), _MENU_DECODER.decode(menu)


def _first(packed: bytes) -> tuple[Record, Menu]:
    """Version 1, of which a log may be full: the menu stood among the rest."""
    size, mark = _HEAD_1.unpack_from(packed)
    values = msgspec.msgpack.decode(_body(packed[_HEAD_1.size :], size, mark, _LZ4), type=list[Any])
    menu = {name: values.pop(at) for name, at in (("excluded", 6), ("feasible", 4)) if at < len(values)}
    return msgspec.convert(values, Record), Menu(tuple(menu.get("feasible", ())), menu.get("excluded", {}))


class _Part(NamedTuple):
    """Its length before and after packing, its CRC-32, and what was made of it."""

    size: int
    long: int
    mark: int
    packed: bytes


def _packed(body: bytes, codec: pa.Codec) -> _Part:
    packed: bytes = codec.compress(body, asbytes=True)
    return _Part(len(body), len(packed), zlib.crc32(body), packed)


def _body(packed: bytes, size: int, mark: int, codec: pa.Codec) -> bytes:
    if size > _LARGEST:
        raise ValueError(f"its record claims {size} bytes")
    body: bytes = codec.decompress(packed, size, asbytes=True)
    if zlib.crc32(body) != mark:
        raise ValueError("the checksum of its record does not fit")
    return body


@lru_cache(_MENUS)
def _menu(feasible: tuple[str, ...], excluded: tuple[tuple[str, str], ...]) -> _Part:
    return _packed(_ENCODER.encode(Menu(feasible, dict(excluded))), _ZSTD)


def _plain(value: object) -> object:
    """NumPy's scalars as Python's."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} {value!r} cannot be kept in the log. Give text, numbers or None.")


_VERSION, _LARGEST = 3, 1 << 26
_HEAD, _HEAD_1 = struct.Struct("<BIIIIII"), struct.Struct("<xII")
_LZ4, _ZSTD = pa.Codec("lz4_raw"), pa.Codec("zstd", compression_level=3)
_MENU_CODECS = {2: _LZ4, _VERSION: _ZSTD}
_ENCODER, _DECODER = msgspec.msgpack.Encoder(enc_hook=_plain), msgspec.msgpack.Decoder(Record)
_MENU_DECODER = msgspec.msgpack.Decoder(Menu)


def _record(served: Served, p: np.ndarray[Any, Any]) -> Record:
    a = served.asked
    return Record(
        hour=a.context.hour,
        weekday=a.context.weekday,
        channels=a.channels,
        exclude=a.exclude,
        p=p.tobytes(),
        arms_version=served.arms_version,
        feature_service=served.feature_service,
        features=dict(served.features),
        features_at=None if served.features_at is None else micros(served.features_at),
        u=served.u,
        notes=dict(served.notes),
        trace_id=a.trace_id,
    )


def _served(row: Row, r: Record, menu: Menu) -> Served:
    context = Context(Surface(row["surface"]), r.hour, r.weekday)
    return Served(
        asked=Asked(row["decision_id"], row["request_id"], row["member_id"], instant(row["decided_at"]), context, r.channels, r.exclude, r.trace_id),
        chosen_arm=row["chosen_arm"],
        channel_id=row["channel_id"] or "",
        feasible=menu.feasible,
        p=np.frombuffer(r.p, dtype="<f8"),
        excluded=menu.excluded,
        reason=Reason(row["reason"]),
        group=row["assignment_group"],
        model_version=row["model_version"],
        posterior=row["posterior"],
        arms_version=r.arms_version,
        feature_service=r.feature_service,
        features=r.features,
        features_at=None if r.features_at is None else instant(r.features_at),
        u=r.u,
        expires_at=instant(row["expires_at"]),
        notes=r.notes,
    )


def _checked(served: Served) -> float:
    """The propensity of a decision that can be evaluated. Raises ValueError for any other."""
    p = served.p
    if p.shape != (len(served.feasible),):
        raise ValueError(f"{len(served.feasible)} feasible arms have probabilities of shape {p.shape}")
    try:
        propensity = served.propensity
    except ValueError:
        raise ValueError(f"the chosen arm {served.chosen_arm!r} was not feasible") from None
    least, whole = np.minimum.reduce(p), np.add.reduce(p)  # their methods take twice as long
    if not (least >= 0 and abs(whole - 1) <= _TOLERANCE and propensity > 0):
        raise ValueError(f"its probabilities sum to {whole}, the least is {least}, the choice had {propensity}")
    if shows(served) != bool(served.channel_id):
        raise ValueError(f"arm {served.chosen_arm!r} came with channel {served.channel_id!r}, so its messages could not be counted")
    return propensity


_HALF = re.compile("[\ud800-\udfff]")
_LENGTHS: dict[str, int] = {c.name: c.type.length for c in decision_table.columns if isinstance(c.type, String) and c.type.length}
_TOLERANCE = 1e-6
"""As in `Decision` and in the landing rules."""
