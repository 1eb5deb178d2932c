"""A home that can serve: members online, a champion over so many arms, a key; and the service over it, as users start it.

Settings are the defaults but for four: no cap and no rate limit is ever reached and nobody is in random control, so that every decision scores every arm, and
requests leave no line in a log, as with Feast's tuned server. Every decision goes into the durable log all the same.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from time import perf_counter

from bench.serving import marts
from bench.serving.load import get, percentile, post
from bench.serving.processes import Server, running
from training.cli.airflow_env import free_port
from training.config.settings import ROOT, Settings

NEVER = "1000000000"
OPEN = {
    **{f"RIGHTMATCH_SERVING__CAPS__{name}": NEVER for name in ("DAY", "WEEK", "CHANNEL_DAY", "CHANNEL_WEEK")},
    "RIGHTMATCH_SERVING__RATE_LIMIT": f"{NEVER}/second",
    "RIGHTMATCH_EXPERIMENT__CONTROL": "0",
    "RIGHTMATCH_SERVING__ACCESS_LOG": "false",
}
MEMORY = Path("/dev/shm")  # noqa: S108 - a folder in it is made with tempfile
READY = get("/readyz")
SURFACE = "web"
"""Where the benchmark's arms are shown."""


@dataclass(frozen=True)
class Home:
    """What was set up. `at` is the event time of all features, `versions` are two versions of one champion, of which the first is in charge."""

    settings: Settings
    members: int
    arms: int
    at: datetime
    versions: tuple[str, str]
    env: Mapping[str, str]
    key: str

    def on(self, folder: Path, log: Path | None = None) -> Home:
        """A copy in `folder` that learns by itself, as of one home only one learns; its decision log, which is empty, and a key are in `log` or there too."""
        settings = Settings(home=folder / "home", catalog=self.settings.catalog)
        shutil.copytree(self.settings.home, settings.home, ignore=shutil.ignore_patterns("*.lock", "*.log", "decisions.db*"))
        env = {**self.env, "RIGHTMATCH_HOME": str(settings.home), "RIGHTMATCH_SERVING__LOG_URL": f"sqlite:///{(log or folder) / 'decisions.db'}"}
        return replace(self, settings=settings, env=env, key=_key(env))

    def question(self, i: int) -> bytes:
        """The request for a decision on member `i`."""
        return post("/v1/decisions", json.dumps({"member_id": marts.member(i), "surface": SURFACE}).encode(), [f"Authorization: Bearer {self.key}"])


def build(folder: Path, arms: int, members: int, at: datetime, seed: int, rows: int | None = None) -> Home:
    """Train (on so many `rows`, else as `champion` does), write, materialize and register in `folder`; about a minute."""
    from bench.serving.champion import champion, write
    from training.bootstrap import platform

    model, catalog = champion(arms, seed) if rows is None else champion(arms, seed, rows)
    write(catalog, folder / "catalog")
    settings = Settings(home=folder / "home", catalog=folder / "catalog")
    marts.write(settings.marts, members, catalog, at, seed)
    wired = platform(settings)
    wired.features.apply()
    with contextlib.redirect_stdout(sys.stderr):  # what it says is progress
        wired.features.materialize(at)
    about = {"as_of": at.isoformat(), "window": {"first": (at - timedelta(days=28)).isoformat(), "last": at.isoformat()}}  # without which nobody learns online
    replace(model, manifest={**model.manifest, **about}).save(folder / "model")
    first, second = (wired.registry.register(folder / "model", {"run_id": name}) for name in ("first", "second"))
    wired.registry.point("champion", first)
    env = {"RIGHTMATCH_HOME": str(settings.home), "RIGHTMATCH_CATALOG": str(settings.catalog), "PYTHONPATH": _path(), **OPEN}
    return Home(settings, members, arms, at, (first, second), env, _key(env))


@contextlib.contextmanager
def without_disk(home: Home) -> Iterator[Home | None]:
    """A copy of `home` with its log in memory, whose syncs cost nothing: what is left is the service's own work. None where the machine has no such folder."""
    if not MEMORY.is_dir():
        yield None
        return
    beside = home.settings.home.parent
    with tempfile.TemporaryDirectory(prefix="rightmatch_", dir=MEMORY) as log, tempfile.TemporaryDirectory(prefix="without_disk_", dir=beside) as copy:
        yield home.on(Path(copy), Path(log))


def sync_ms(folder: Path, times: int = 100) -> dict[str, float]:
    """What the disk under `folder` takes to make 4 KB durable, at the median and the 99th percentile: no durable answer can be faster."""
    taken = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(times):
            file.write(bytes(4_096))
            begin = perf_counter()
            os.fdatasync(file.fileno())
            taken.append(perf_counter() - begin)
    return {"p50": percentile(taken, 50), "p99": percentile(taken, 99)}


@contextlib.contextmanager
def deciding(home: Home, workers: int = 1) -> Iterator[Server]:
    """`rightmatch serve` until the block ends; it is up once a champion decides."""
    port = free_port()
    command = [sys.executable, "-m", "training.cli.main", "serve", "--port", str(port), "--workers", str(workers)]
    with running(command, port, READY, home.env, home.settings.home / f"serve_{port}.log") as server:
        yield server


def beside(home: Home, *words: str) -> subprocess.Popen[bytes]:
    """Start `python -m bench.serving.beside` on this home as a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "bench.serving.beside", *words], cwd=ROOT, env={**os.environ, **home.env}, stdout=subprocess.DEVNULL)


def _key(env: Mapping[str, str]) -> str:
    command = [sys.executable, "-m", "training.cli.main", "keys", "create", "bench", "--scope", "decide", "--scope", "outcomes"]
    made = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, text=True, check=True)
    return made.stdout.strip().splitlines()[-1]


def _path() -> str:
    return os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
