"""A home with members online and a champion in charge, and the real service on a real socket."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.fakes.features import feature_row, write_mart
from tests.fakes.training_frame import training_frame
from training.adapters.feast_store import FeastStore
from training.adapters.log_keys import ApiKeys
from training.adapters.registry import MlflowRegistry
from training.config.settings import ROOT, Settings, TrainingSettings
from training.domain.catalog import load_catalog
from training.domain.schema import ARM_FEATURES, ARM_NUMERIC, MEMBER_FEATURES, MEMBER_NUMERIC
from training.model.fit import fit
from training.model.threads import steady

MEMBERS = 400
PATIENCE = 60.0
"""Seconds that a test waits for what will happen: they cost nothing where it does."""
SCOPES = ("decide", "outcomes", "read", "admin")
NOW = datetime.now(UTC)
MIDNIGHT = NOW.replace(hour=0, minute=0, second=0, microsecond=0)


def member(i: int) -> str:
    """Even ones consent to everything, odd ones to nothing; number 0 has no features."""
    return f"m{i}"


def features(at: datetime) -> list[dict[str, object]]:
    """One row a member as of `at`."""
    full = dict.fromkeys(MEMBER_NUMERIC, 1.0)
    return [
        feature_row(at, member_id=member(i), industry="tech" if i % 3 else "retail", consents="email,push,sms" if i % 2 == 0 else "", **full)
        for i in range(1, MEMBERS)
    ]


def furnish(home: Path, at: datetime = MIDNIGHT) -> Settings:
    """Marts, online store, and a champion."""
    settings = Settings(home=home)
    catalog = load_catalog(settings.catalog)
    write_mart(settings.marts, MEMBER_FEATURES, features(at))
    write_mart(settings.marts, ARM_FEATURES, [feature_row(at, arm_id=arm, **dict.fromkeys(ARM_NUMERIC, 5.0)) for arm in catalog.arms])
    store = FeastStore(settings)
    store.apply()
    store.materialize(at)
    put_in_charge(settings, at)
    return settings


def put_in_charge(settings: Settings, at: datetime) -> None:
    """A champion trained on known effects, as of `at`."""
    steady()
    catalog = load_catalog(settings.catalog)
    model = fit(training_frame(catalog, 6000), catalog, TrainingSettings(width=16, epochs=4, batch=256), 7, str)
    about = {"as_of": at.isoformat(), "window": {"first": (at - timedelta(days=28)).isoformat(), "last": at.isoformat()}}  # as the step `train` adds them
    replace(model, manifest={**model.manifest, **about}).save(settings.home / "model")
    registry = MlflowRegistry(settings)
    registry.point("champion", registry.register(settings.home / "model", {"run_id": "2026-03-09"}))


@pytest.fixture(scope="session")
def furnished(tmp_path_factory) -> Path:
    """A home that tests copy."""
    home = tmp_path_factory.mktemp("served") / "home"
    home.mkdir()
    furnish(home)
    return home


@pytest.fixture
def home(furnished, tmp_path) -> Path:
    """A home of one's own. Feast's registry names its files by absolute paths, which only materializing reads."""
    shutil.copytree(furnished, tmp_path / "home")
    return tmp_path / "home"


@dataclass
class Service:
    """A running service."""

    url: str
    home: Path
    token: str
    process: subprocess.Popen[bytes]

    def client(self, token: str | None = None) -> httpx.Client:
        """A caller with a key."""
        return httpx.Client(base_url=self.url, headers={"Authorization": f"Bearer {token or self.token}"}, timeout=PATIENCE)

    def ready(self) -> httpx.Response:
        """What one of its workers says of itself, by whichever takes a new connection."""
        return httpx.get(f"{self.url}/readyz", timeout=PATIENCE)

    def said(self) -> list[dict[str, object]]:
        """The lines of its log, without one that is being written."""
        return [json.loads(line) for line in (self.home / "service.log").read_text().split("\n")[:-1] if line.startswith("{")]

    def children(self) -> dict[str, int]:
        """Process ids of workers and learner as they were started last, by name."""
        return {str(line["child"]): int(str(line["pid"])) for line in self.said() if line["event"] == "started" and "child" in line}

    def workers(self) -> list[int]:
        """Those of the workers."""
        return [pid for name, pid in self.children().items() if name.startswith("worker")]


@pytest.fixture
def line(service) -> Iterator[socket.socket]:
    """An open connection to the service."""
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), PATIENCE) as connection:
        yield connection


@contextmanager
def serving(home: Path, workers: int = 1, program: str = "training.cli.main", **settings: str) -> Iterator[Service]:
    """The service as `rightmatch serve` runs it, on a free port, until the block ends; `settings` as in the environment, without the prefix."""
    token = ApiKeys(settings.get("SERVING__LOG_URL") or Settings(home=home).log_url).create("test", SCOPES, datetime.now(UTC))
    env = {**os.environ, "RIGHTMATCH_HOME": str(home), "RIGHTMATCH_SERVING__CLOCK": "wall", "PYTHONPATH": str(ROOT)}
    env |= {"RIGHTMATCH_SERVING__RATE_LIMIT": "1000000/minute"}
    env |= {f"RIGHTMATCH_SERVING__{part}_BUDGET_MS": "30000" for part in ("LOOKUP", "LOG")}  # a busy machine is no lost store, and no log that hangs
    env |= {f"RIGHTMATCH_EXPERIMENT__{share}": "0" for share in ("HOLDBACK", "CONTROL")}  # everybody is the champion's
    env |= {f"RIGHTMATCH_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", program, "serve", "--port", "0", "--workers", str(workers)]
    with (home / "service.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        assert url.startswith("http"), (home / "service.log").read_text()
        wait(lambda: httpx.get(f"{url}/healthz", timeout=PATIENCE).status_code == 200)
        yield Service(url, home, token, process)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
        process.stdout.close()  # type: ignore[union-attr]


@pytest.fixture(scope="session")
def service(furnished, tmp_path_factory) -> Iterator[Service]:
    """One worker that the tests of some files share (`tests/distribute.py`)."""
    home = tmp_path_factory.mktemp("shared") / "home"
    shutil.copytree(furnished, home)
    with serving(home) as running:
        wait(lambda: running.ready().status_code == 200)
        yield running


def wait(true: Callable[[], object], *, pause: float = 0.02) -> float:
    """Until `true()` holds, asked every `pause` seconds; an error counts as not yet. Returns the seconds that it took."""
    began = time.monotonic()
    last: object = None
    while time.monotonic() < began + PATIENCE:
        try:
            if true():
                return time.monotonic() - began
        except (httpx.HTTPError, OSError) as error:
            last = error
        time.sleep(pause)
    raise AssertionError(f"not within {PATIENCE} s; {last}")


def soonest(measure: Callable[[], float], promised: float, attempts: int = 6) -> float:
    """The least of up to `attempts` results of `measure`, in seconds, up to the first below `promised`: a busy machine delays some, a broken promise all."""
    least = float("inf")
    for _ in range(attempts):
        least = min(least, measure())
        if least < promised:
            break
    return least


def ago(**of: float) -> str:
    """An instant in the past, as outcomes carry it."""
    return (datetime.now(UTC) - timedelta(**of)).isoformat()
