"""Processes that must not outlive their command: remembered by pid and birth, and ended with everything below them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

GRACE_SECONDS = 8.0


def remember(path: Path, pids: Iterable[int]) -> None:
    """Write down which processes run now, so that the next command can end them if this one is killed."""
    aside = path.with_suffix(".tmp")
    aside.write_text(json.dumps({pid: psutil.Process(pid).create_time() for pid in pids}), encoding="utf-8")
    aside.replace(path)


def stop_strays(path: Path) -> None:
    """End what a command that was killed left running: same pid *and* same birth, so that no stranger is touched."""
    if not path.is_file():
        return
    strays = []
    for pid, born in json.loads(path.read_text(encoding="utf-8")).items():
        with suppress(psutil.NoSuchProcess):
            if abs(psutil.Process(int(pid)).create_time() - born) < 1.0:
                strays.append(int(pid))
    end(strays)
    path.unlink()


def end(leaders: list[int]) -> None:
    """SIGTERM to each leader; after the grace SIGKILL to it, its session and all descendants."""
    family = {process for pid in leaders for process in _family(pid)}
    for pid in leaders:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).terminate()
    _, left = psutil.wait_procs([p for p in family if p.pid in leaders], timeout=GRACE_SECONDS)
    family |= {process for pid in leaders for process in _family(pid)}
    for process in family | set(left):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(list(family), timeout=GRACE_SECONDS)


def _family(leader: int) -> list[psutil.Process]:
    """The leader, its descendants, and whatever lives in its session after its parent died."""
    found = []
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(leader)
        found = [process, *process.children(recursive=True)]
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, ProcessLookupError, PermissionError):
            if os.getsid(process.pid) == leader:
                found.append(process)
    return found
