"""A real Airflow API server on a seeded home, with one user of each role."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from training.cli.airflow_env import airflow_environment, prepare_home
from training.config.settings import ROOT, Settings

USERS = {"vera": "viewer", "uma": "user", "olaf": "op", "ada": "admin"}
PASSWORD = "let me in"  # noqa: S105 - of a server that lives for one test


@contextmanager
def api_server(settings: Settings) -> Iterator[str]:
    """Its address; it ends with the block. Raises what it said last if it does not come up."""
    airflow = prepare_home(settings)
    (airflow.home / "passwords.json").write_text(json.dumps(dict.fromkeys(USERS, PASSWORD)))
    env = {k: v for k, v in airflow_environment(airflow, os.environ).items() if not k.startswith("RIGHTMATCH")}
    env |= {"AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items())}
    env |= {"RIGHTMATCH_HOME": str(settings.home), "PYTHONPATH": f"{env['PYTHONPATH']}{os.pathsep}{ROOT}"}
    log = airflow.logs / "api-server.log"
    with log.open("wb") as said:
        subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], env=env, stdout=said, stderr=said, check=True, timeout=400)
        server = subprocess.Popen([sys.executable, "-m", "airflow", "api-server"], env=env, stdout=said, stderr=said, cwd=airflow.home, start_new_session=True)
    try:
        _wait(airflow.url, server, log)
        yield airflow.url
    finally:
        os.killpg(server.pid, 15)
        server.wait(timeout=60)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 400
    while True:
        try:
            httpx.get(f"{url}/api/v2/version", trust_env=False, timeout=10).raise_for_status()
        except httpx.HTTPError:
            assert server.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < give_up, log.read_text()[-3000:]
            time.sleep(0.3)
        else:
            return


def token(url: str, user: str) -> str:
    """What Airflow gives `user` who logs in."""
    return str(
        httpx.post(f"{url}/auth/token", json={"username": user, "password": PASSWORD}, trust_env=False, timeout=60).raise_for_status().json()["access_token"]
    )
