"""The decision service as a child of `rightmatch up`: started once the loop has run, and gone with the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from training.cli.airflow_env import free_port
from training.cli.processes import end, remember, stop_strays
from training.cli.stopping import undisturbed
from training.config.settings import ROOT, Settings
from training.domain.errors import StepError

COMMAND = [sys.executable, "-O", "-m", "serving.supervisor"]
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""A decision's arrays are too small to share; every worker has one core."""


class ServiceProcess:
    """`start` returns the address; `stop` ends it and everything below it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log, self._pids = settings.home / "service.log", settings.home / "service.pids.json"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> str:
        """Start it on the port of the settings, or on a free one where that is taken. Raises StepError with its own last words where it does not start."""
        stop_strays(self._pids)
        for port in (self._settings.serving.port, free_port()):
            address = self._spawn(port)
            if address:
                return address
        raise StepError(f"The decision service did not start. Its last lines:\n{tail(self._log)}")

    def check(self) -> None:
        """Raises StepError if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            raise StepError(f"The decision service ended by itself (code {self._process.returncode}). Its last lines:\n{tail(self._log)}")

    def stop(self) -> None:
        """End it where it runs; no signal interrupts that."""
        with undisturbed():
            if self._process is not None and self._process.poll() is None:
                end([self._process.pid])
                self._process.wait()
            self._pids.unlink(missing_ok=True)

    def _spawn(self, port: int) -> str:
        env = {**os.environ, **ONE_THREAD, "RIGHTMATCH_SERVING__PORT": str(port)}
        with self._log.open("w", encoding="utf-8") as log:
            child = subprocess.Popen(
                COMMAND, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
            )
        self._process = child
        remember(self._pids, [child.pid])
        if child.stdout is None:
            raise StepError("The decision service has no output to read its address from. Start it by hand: `rightmatch serve`.")
        return child.stdout.readline().strip()


def tail(log: Path) -> str:
    """Its last lines."""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
