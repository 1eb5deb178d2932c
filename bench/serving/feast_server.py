"""Feast's own Python feature server over a home's marts: as it comes, and tuned as far as its options and settings go.

Stock is `feast serve` with the features named by their service. Tuned is, all at once: PYTHONOPTIMIZE=1 (which switches typeguard off), explicit
feature references, no restart of the worker (`--max-requests 0`), no access log, a registry that is not read again while it serves (`cache_ttl_seconds: 0`,
`--registry_ttl_sec 3600`); metrics, audit and authorization stay off, as they are by default. One worker each, under gunicorn with uvicorn's worker,
which takes uvloop and httptools where they are installed, as here. The tuned server runs over both online stores: Feast's SQLite and ours.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from bench.serving.load import post
from bench.serving.marts import member
from bench.serving.processes import Server, running
from training.cli.airflow_env import free_port
from training.config.settings import ROOT, Settings
from training.domain.schema import MEMBER_FEATURES, MEMBER_VIEW

SERVICE = "members_only"
"""A feature service of the member view alone: what is asked of Feast is what a decision reads of its member, no more."""
STOCK, PACKED = "stock", "packed"
"""The two online stores: Feast's SQLite, a row a feature; ours, a packed row a member."""
REFERENCES = [f"{MEMBER_VIEW}:{name}" for name in MEMBER_FEATURES.names if name not in {*MEMBER_FEATURES.key, "event_timestamp", "created_timestamp"}]
PATH = "/get-online-features"


@dataclass(frozen=True)
class Variant:
    """One way to run the server."""

    store: str
    tuned: bool


def prepare(settings: Settings, folder: Path, until: datetime) -> None:
    """Write one Feast repository a variant below `folder`; both online stores are filled from the marts of `settings` as of `until`."""
    for store in (STOCK, PACKED):
        for tuned in (False, True):
            repository = folder / name_of(Variant(store, tuned))
            repository.mkdir(parents=True)
            (repository / "feature_store.yaml").write_text(yaml.safe_dump(_options(settings, folder, Variant(store, tuned))), encoding="utf-8")
        _fill(settings, folder / name_of(Variant(store, False)), until)


def name_of(variant: Variant) -> str:
    """Its folder."""
    return f"{variant.store}_{'tuned' if variant.tuned else 'plain'}"


def question(i: int, tuned: bool) -> bytes:
    """The request for all features of member `i`."""
    asked: dict[str, Any] = {"features": REFERENCES} if tuned else {"feature_service": SERVICE}
    return post(PATH, json.dumps({**asked, "entities": {"member_id": [member(i)]}}).encode())


@contextlib.contextmanager
def serving(folder: Path, variant: Variant) -> Iterator[Server]:
    """The server of `variant` on a free port until the block ends."""
    port = free_port()
    options = ["--max-requests", "0", "--no-access-log", "--registry_ttl_sec", "3600"] if variant.tuned else []
    command = [sys.executable, "-c", "from feast.cli.cli import cli; cli()", "serve", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *options]
    env = {"PYTHONOPTIMIZE": "1" if variant.tuned else "", "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    repository = folder / name_of(variant)
    with running(command, port, question(0, variant.tuned), env, repository / "server.log", repository) as server:
        yield server


def _options(settings: Settings, folder: Path, variant: Variant) -> Mapping[str, Any]:
    """The platform's own feature_store.yaml with the paths, and the online store, of `variant`."""
    text = (ROOT / "feature_repo" / "feature_store.yaml").read_text(encoding="utf-8")
    options: dict[str, Any] = yaml.safe_load(text.replace("${RIGHTMATCH_FEAST}", str(folder)))
    options["registry"]["path"] = f"sqlite:///{folder / variant.store}_registry.db"
    if variant.tuned:
        options["registry"]["cache_ttl_seconds"] = 0
    options["online_store"]["path"] = str(folder / f"{variant.store}_online.db")
    if variant.store == STOCK:
        options["online_store"]["type"] = "sqlite"
    options["materialization"]["online_write_batch_size"] = settings.materialize_batch
    return options


def _fill(settings: Settings, repository: Path, until: datetime) -> None:
    from feast import FeatureService, FeatureStore

    from training.adapters.feast_config import load_definitions
    from training.adapters.feast_quiet import quiet

    ttl = timedelta(days=settings.feature_ttl_days)
    found = load_definitions().define(settings.marts.resolve(), ttl)
    store = FeatureStore(repo_path=str(repository))
    with quiet():
        store.apply([found.member, found.member_features, FeatureService(name=SERVICE, features=[found.member_features])])
        store.materialize(start_date=until - ttl, end_date=until, feature_views=[MEMBER_VIEW])
