"""Online lookups without protobuf, for the requests that a decision makes; Feast answers every other one itself.

A request is plain when it names features of feature views and plain entity values (text or integers): no on-demand views, no request
data, no view versions, no precomputed vectors, no aliases of join keys, no metrics server in this process. The answer is Feast's
`OnlineResponse` in all it offers; the protobuf message inside is made when it is asked for, from the rows that were read.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any

from feast import FeatureService, metrics, utils
from feast.protos.feast.types.Value_pb2 import ValueType as Proto
from feast.repo_config import RepoConfig
from feast.value_type import ValueType

from training.adapters.feast_columns import KEY_VERSION, key_prefix
from training.adapters.feast_response import Entities, Plan, Read

PLANS = 64
"""How many kinds of request are remembered."""

INT64 = range(-(2**63), 2**63)

_KEYS: Mapping[ValueType, tuple[type, str, Callable[[Any], bytes]]] = {
    ValueType.STRING: (str, "string_val", lambda value: text_key(value.encode())),
    ValueType.INT64: (int, "int64_val", lambda value: struct.pack("<IIq", Proto.INT64, 8, value)),
}
_PLAIN = frozenset(
    {ValueType.STRING, ValueType.BYTES, ValueType.DOUBLE, ValueType.FLOAT, ValueType.INT64, ValueType.INT32, ValueType.BOOL, ValueType.UNIX_TIMESTAMP}
)
"""Types that a packed row gives as Feast's response does."""


Request = tuple[Plan, Entities, list[list[bytes]]]
"""A plan, its entities, and their serialized keys for each of its reads."""


class Plans:
    """Plans of the requests seen last. Feast resolves a request once and caches what it found, by whose identity a plan is remembered."""

    def __init__(self) -> None:
        self._plans: dict[int, tuple[object, Plan | None]] = {}

    def request(  # noqa: PLR0913, PLR0917 - Feast's signature
        self,
        config: RepoConfig,
        features: Any,  # noqa: ANN401 - Feast takes names or a service
        entity_rows: Any,  # noqa: ANN401 - Feast takes rows or columns
        registry: Any,  # noqa: ANN401 - any of Feast's registries
        project: str,
        full_feature_names: bool = False,
        include_feature_view_version_metadata: bool = False,
    ) -> Request | None:
        """The plan of a plain request, its entities and keys; None where Feast shall answer."""
        precomputed = isinstance(features, FeatureService) and getattr(features, "precompute_online", False)
        if include_feature_view_version_metadata or precomputed or metrics._config.online_features or config.entity_key_serialization_version != KEY_VERSION:  # noqa: SLF001 - no public switch says it
            return None
        resolved = utils._get_cached_request_context(registry, project, features, full_feature_names)  # noqa: SLF001 - the cache that Feast's own lookup uses
        plan = self._plan(resolved, full_feature_names)
        entities = None if plan is None else _entities(plan, entity_rows)
        return None if plan is None or entities is None else (plan, entities, [_keys(read, entities) for read in plan.reads])

    def _plan(self, resolved: tuple[Any, ...], full_names: bool) -> Plan | None:
        known = self._plans.get(id(resolved))
        if known is None:
            if len(self._plans) >= PLANS:
                self._plans.clear()
            known = self._plans[id(resolved)] = (resolved, _make_plan(resolved, full_names))
        return known[1]


def _make_plan(resolved: tuple[Any, ...], full_names: bool) -> Plan | None:
    _, on_demand, _, types, _, grouped, _, request_data, entityless = resolved
    join_keys = {name for view, _ in grouped for name in view.join_keys}
    if on_demand or request_data or entityless or any(types.get(name) not in _KEYS for name in join_keys):
        return None
    reads: list[Read] = []
    outputs: dict[str, ValueType] = {}
    for view, names in grouped:
        declared = {each.name: each.dtype.to_value_type() for each in view.features}
        projection = view.projection
        if not all(declared.get(name) in _PLAIN for name in names) or projection.join_key_map or getattr(projection, "version_tag", None) is not None:
            return None
        called = projection.name_to_use()
        labels = [f"{called}__{name}" if full_names else name for name in names]
        keys = tuple((name, _KEYS[types[name]][2]) for name in sorted(view.join_keys))
        reads.append(Read(view, list(names), labels, key_prefix(sorted(view.join_keys)), keys))
        outputs |= {name: declared[name] for name in names} | {f"{called}__{name}": declared[name] for name in names}
    kinds = {name: _KEYS[types[name]][:2] for name in join_keys}
    return Plan(tuple(reads), kinds, outputs, full_names)


def _entities(plan: Plan, rows: Any) -> Entities | None:  # noqa: ANN401 - Feast takes rows or columns
    """The join keys by column; None where something else is among them, or a value is not of its key's own type."""
    columns: Entities
    if isinstance(rows, list):
        if any(row.keys() != plan.kinds.keys() for row in rows):
            return None
        columns = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    else:
        columns = {name: list(values) if isinstance(values, (list, tuple)) else [] for name, values in rows.items()}
    plain = columns.keys() == plan.kinds.keys() and len({len(values) for values in columns.values()}) == 1
    for name, (kind, _) in plan.kinds.items():
        plain = plain and bool(columns[name]) and all(_fits(kind, value) for value in columns[name])
    return columns if plain else None


def _fits(kind: type, value: Any) -> bool:  # noqa: ANN401 - whatever was asked for
    if type(value) is not kind:
        return False
    return kind is str or value in INT64


def _keys(read: Read, entities: Entities) -> list[bytes]:
    parts = [[serialize(value) for value in entities[name]] for name, serialize in read.keys]
    return [read.prefix + b"".join(part) for part in zip(*parts, strict=True)]


def text_key(content: bytes) -> bytes:
    """A key's value that is text, serialized."""
    return struct.pack("<II", Proto.STRING, len(content)) + content
