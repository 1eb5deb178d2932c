"""What Feast knows: two entities, one view of each, one service for the model. Names come from `training.domain.schema`.

The `feast` command imports this file and finds the objects at its end; `RIGHTMATCH_MARTS` and `RIGHTMATCH_FEATURE_TTL_DAYS`
say where the marts are and for how long a feature row is valid. The platform calls `define` with its own settings instead.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.data_format import ParquetFormat
from feast.types import Float64, PrimitiveFeastType, String
from feast.value_type import ValueType

from training.domain.schema import ARM_FEATURES, ARM_VIEW, FEATURE_SERVICE, MEMBER_FEATURES, MEMBER_VIEW, Table, Type


class Definitions(NamedTuple):
    """Everything that is registered. One wide member view, because a decision reads it whole."""

    member: Entity
    arm: Entity
    member_features: FeatureView
    arm_features: FeatureView
    matching: FeatureService


def define(marts: Path, ttl: timedelta) -> Definitions:
    """The definitions over the Parquet files in `marts`; a feature row older than `ttl` counts as unknown."""
    member = Entity(name="member", join_keys=["member_id"], value_type=ValueType.STRING, description="A member of the subscription business.")
    arm = Entity(name="arm", join_keys=["arm_id"], value_type=ValueType.STRING, description="Product x creative x channel, or none.")
    member_view = _view(MEMBER_VIEW, MEMBER_FEATURES, member, marts, ttl)
    arm_view = _view(ARM_VIEW, ARM_FEATURES, arm, marts, ttl)
    service = FeatureService(name=FEATURE_SERVICE, features=[member_view, arm_view], description="Everything that a matching model reads.")
    return Definitions(member, arm, member_view, arm_view, service)


_FEAST_TYPES: dict[Type, PrimitiveFeastType] = {Type.TEXT: String, Type.FLOAT: Float64}


def _view(name: str, table: Table, entity: Entity, marts: Path, ttl: timedelta) -> FeatureView:
    source = FileSource(
        name=f"{name}_mart",
        path=str(marts / f"{table.name}.parquet"),
        file_format=ParquetFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="created_timestamp",
    )
    not_features = {*table.key, "event_timestamp", "created_timestamp"}
    features = [Field(name=c.name, dtype=_FEAST_TYPES[c.type]) for c in table.columns if c.name not in not_features]
    key = Field(name=entity.join_key, dtype=String)
    return FeatureView(name=name, entities=[entity], ttl=ttl, schema=[key, *features], source=source, online=True)


member, arm, member_features, arm_features, matching_v1 = define(
    Path(os.environ.get("RIGHTMATCH_MARTS", "../var/simulated/marts")),
    timedelta(days=int(os.environ.get("RIGHTMATCH_FEATURE_TTL_DAYS", "3"))),
)
