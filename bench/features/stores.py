"""Feast as it comes and Feast with our classes, each with files of its own, over one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from feast import FeatureStore
from feast.repo_config import RepoConfig

from bench.features.data import MEMBER, NOW, VIEW, WARM, view
from training.adapters.feast_quiet import quiet

BATCH = 10_000
"""Rows a batch for both, as in the platform's settings; Feast's default is all rows at once."""

ENGINE = {"type": "training.adapters.feast_engine.ColumnarEngine"}
REDIS = "training.adapters.feast_redis_store.ColumnarRedisOnlineStore"
PACKED = "training.adapters.feast_online.PackedSqliteOnlineStore"


@dataclass(frozen=True)
class Opened:
    """A Feast whose view is applied and that has materialized once; `path` is its online file, where it has one."""

    feast: FeatureStore
    path: Path | None

    def materialize(self) -> None:
        """The day's rows."""
        _materialize(self.feast, NOW)

    def file_bytes(self) -> int:
        """Size of the online file with its log."""
        assert self.path is not None  # noqa: S101 - Redis has none
        return sum(part.stat().st_size for part in self.path.parent.glob(self.path.name + "*"))


def sqlite(folder: Path, name: str, *, ours: bool) -> Opened:
    """Feast on a SQLite file: as it comes, or with our store and engine."""
    path = folder / f"{name}.db"
    online = {"type": PACKED if ours else "sqlite", "path": str(path)}
    return Opened(_open(folder, name, online, ours=ours), path)


def redis(folder: Path, name: str, address: str, *, ours: bool) -> Opened:
    """Feast on a Redis server: as it comes, or with our store and engine over the same layout."""
    return Opened(_open(folder, name, {"type": REDIS if ours else "redis", "connection_string": address}, ours=ours), None)


def _open(folder: Path, name: str, online: Mapping[str, str], *, ours: bool) -> FeatureStore:
    config = RepoConfig(
        project="bench",
        provider="local",
        registry={"registry_type": "sql", "path": f"sqlite:///{folder / name}_registry.db", "cache_ttl_seconds": 3_600},
        online_store=dict(online),
        offline_store={"type": "duckdb"},
        materialization={"pull_latest_features": True, "online_write_batch_size": BATCH},
        data_quality_monitoring={"auto_baseline": False},
        entity_key_serialization_version=3,
        **({"batch_engine": ENGINE} if ours else {}),
    )
    config.repo_path = folder
    store = FeatureStore(config=config)
    with quiet():
        store.apply([MEMBER, view(folder)])
    _materialize(store, WARM)
    return store


def _materialize(store: FeatureStore, until: datetime) -> None:
    with quiet():
        store.materialize(start_date=until - timedelta(days=3), end_date=until, feature_views=[VIEW])
