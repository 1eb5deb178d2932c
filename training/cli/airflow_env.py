"""The environment that makes Airflow live under `home/airflow`, on loopback, without an account, a download or a configuration file."""

from __future__ import annotations

import base64
import json
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from training.config.settings import ROOT, Settings

USER = "admin"
POLICY = ROOT / "infra" / "airflow"
"""Holds `airflow_local_settings.py`, which Airflow looks for on its path, and our plugins."""


@dataclass(frozen=True)
class Secrets:
    """What one Airflow home keeps: the UI's password and three keys. Made once, readable by the owner only."""

    password: str
    jwt: str
    fernet: str
    api: str


@dataclass(frozen=True)
class AirflowHome:
    """Where this Airflow lives and listens."""

    home: Path
    port: int
    secrets: Secrets

    @property
    def url(self) -> str:
        """Base URL of UI and API, on loopback."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def logs(self) -> Path:
        """Logs of the components, and of each task attempt below `dag_id=.../`."""
        return self.home / "logs"


def prepare_home(settings: Settings) -> AirflowHome:
    """Create the folder and its secrets where absent, and choose a free port."""
    home = (settings.home / "airflow").resolve()
    (home / "logs").mkdir(parents=True, exist_ok=True)
    return AirflowHome(home, free_port(), _secrets(home))


def free_port() -> int:
    """A loopback TCP port that nothing listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _secrets(home: Path) -> Secrets:
    path = home / "secrets.json"
    if not path.is_file():
        fernet = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()
        fresh = Secrets(secrets.token_urlsafe(12), secrets.token_urlsafe(48), fernet, secrets.token_urlsafe(32))
        _write_private(path, json.dumps(vars(fresh)))
    kept = Secrets(**json.loads(path.read_text(encoding="utf-8")))
    _write_private(home / "passwords.json", json.dumps({USER: kept.password}) + "\n")
    return kept


def _write_private(path: Path, text: str) -> None:
    aside = path.with_suffix(".tmp")
    aside.unlink(missing_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    aside.replace(path)


def airflow_environment(airflow: AirflowHome, base: Mapping[str, str]) -> dict[str, str]:
    """`base` (the caller's environment) with every Airflow setting of ours and no schedule; any AIRFLOW_* of the caller is dropped."""
    env = {name: value for name, value in base.items() if not name.startswith("AIRFLOW")}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode each task compiles Feast again
    env |= {f"AIRFLOW__{name}": value for name, value in _options(airflow).items()}
    env |= {
        "AIRFLOW_HOME": str(airflow.home),
        "RIGHTMATCH_SCHEDULE": "",  # runs start on request only
        "PYTHONPATH": os.pathsep.join([str(POLICY), *filter(None, [base.get("PYTHONPATH")])]),
        "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{base.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        "SCARF_ANALYTICS": "false",
        "DO_NOT_TRACK": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
    }
    return env


def scheduled(env: Mapping[str, str], cron: str, first_day: date) -> dict[str, str]:
    """`env` in which `features` also runs by `cron`, for `first_day` and later."""
    return {**env, "RIGHTMATCH_SCHEDULE": cron, "RIGHTMATCH_SCHEDULE_FROM": first_day.isoformat()}


def _options(airflow: AirflowHome) -> dict[str, str]:
    return {
        "CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "CORE__PLUGINS_FOLDER": str(POLICY / "plugins"),
        "CORE__EXECUTOR": "rightmatch_executor.HoldingExecutor",
        "CORE__PARALLELISM": "2",
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "CORE__EXECUTE_TASKS_NEW_PYTHON_INTERPRETER": "False",
        "CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "1",
        "CORE__FERNET_KEY": airflow.secrets.fernet,
        "CORE__EXECUTION_API_SERVER_URL": f"{airflow.url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(airflow.home / "passwords.json"),
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{airflow.home / 'airflow.db'}",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(airflow.port),
        "API__BASE_URL": airflow.url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": airflow.secrets.api,
        "API_AUTH__JWT_SECRET": airflow.secrets.jwt,
        "API_AUTH__JWT_ISSUER": "rightmatch",
        "LOGGING__BASE_LOG_FOLDER": str(airflow.logs),
        "LOGGING__DAG_PROCESSOR_CHILD_PROCESS_LOG_DIRECTORY": str(airflow.logs / "dag_processor"),
        "LOGGING__COLORED_CONSOLE_LOG": "False",
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # a worker that misses the end of its task's process notices it that much later
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
