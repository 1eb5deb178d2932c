"""Servers as processes of their own: started on a free local port, waited for, measured, and gone at the end with their children."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from bench.serving.load import Address, connect
from training.config.settings import ROOT
from training.domain.errors import NotReadyError

START_SECONDS = 120.0
STOP_SECONDS = 20.0


@dataclass(frozen=True)
class Server:
    """A server that answers. `started` is the seconds from its start until it first did, `log` what it says."""

    address: Address
    process: subprocess.Popen[bytes]
    started: float
    log: Path

    def memory_mb(self, pid: int) -> float:
        """Memory of one process, MB (2^20 bytes): its own pages, and its part of those that it shares."""
        return round(float(psutil.Process(pid).memory_full_info().pss) / 2**20, 1)


@contextlib.contextmanager
def running(command: Sequence[str], port: int, probe: bytes, env: Mapping[str, str], log: Path, folder: Path = ROOT) -> Iterator[Server]:
    """Run `command` until the block ends; yields once `probe` is answered with 200. `env` is added to this process's. Output goes to `log`.

    Raises NotReadyError with the end of the log if that takes longer than START_SECONDS or the process ends.
    """
    address, begin = Address("127.0.0.1", port), time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(command), cwd=folder, env={**os.environ, **env}, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    try:
        while not answers(address, probe):
            if process.poll() is not None or time.perf_counter() - begin > START_SECONDS:
                words = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:])
                raise NotReadyError(f"{' '.join(command[:6])} ... does not answer on port {port}, so it cannot be measured. Its last words:\n{words}")
            time.sleep(0.02)
        yield Server(address, process, time.perf_counter() - begin, log)
    finally:
        _end(process)


def answers(address: Address, probe: bytes) -> bool:
    """Whether `probe` is answered with 200, within five seconds."""

    async def once() -> int:
        connection = await connect(address)
        try:
            return (await asyncio.wait_for(connection.send(probe), 5.0))[0]
        finally:
            connection.close()

    with contextlib.suppress(OSError, TimeoutError):
        return asyncio.run(once()) == 200  # noqa: PLR2004 - OK
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the process to stop, then make it and its session end."""
    family = []
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for left in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            left.kill()
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
