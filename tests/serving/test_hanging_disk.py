"""A disk that does not answer: the log lies on a file system of its own, whose device is a file on another one, and that one is frozen.

So the kernel takes writes into its memory and can finish none, as with a network disk that is gone. Only root may make such a disk.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.serving.callers import Caller, compare
from tests.serving.conftest import PATIENCE, member, serving, wait

CALLERS, ANSWERS, ATTEMPTS = 4, 3, 4
"""Those who ask; how many more answers each must get with the disk back; and how often the disk may go."""
WAL_BYTES = 1 << 20
"""From this size on it may be written over."""
BUDGET, FROZEN = 1.0, 8.0
"""Seconds that the service waits for its log; and that the disk is gone, longer than the 5 s after which ext4 would stop writes too."""
TOOLS = ("mount", "umount", "mkfs.ext4", "fsfreeze", "truncate")


def do(*words):
    """A tool of the system's."""
    subprocess.run([str(word) for word in words], check=True, capture_output=True, timeout=PATIENCE)


@contextmanager
def mounted(image, at, megabytes):
    """A file system in the file `image` until the block ends; skips where it cannot be had."""
    at.mkdir()
    try:
        do("truncate", "-s", f"{megabytes}M", image)
        do("mkfs.ext4", "-q", "-F", image)
        do("mount", "-o", "loop", image, at)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no file system of one's own can be mounted here: {error.stderr.decode().strip()}")
    try:
        yield at
    finally:
        do("umount", "-l", at)  # also where a test that failed has it open


@contextmanager
def frozen(at):
    """Nothing is written to the file system at `at` until the block ends."""
    do("fsfreeze", "-f", at)
    try:
        yield
    finally:
        do("fsfreeze", "-u", at)


@pytest.fixture
def disks(tmp_path):
    """Where the log may lie, and what to freeze for it."""
    if os.geteuid():
        pytest.skip("only root may mount a file system and freeze it")
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    with ExitStack() as stack:
        below = stack.enter_context(mounted(tmp_path / "below.img", tmp_path / "below", 400))
        try:
            with frozen(below):
                pass
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no file system can be frozen here: {error.stderr.decode().strip()}")
        yield stack.enter_context(mounted(below / "disk.img", tmp_path / "disk", 200)), below


def goes_on(service, seconds):
    """Whether `/healthz` answered all the time, for so long."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            assert httpx.get(f"{service.url}/healthz", timeout=seconds / 2).status_code == 200
        except httpx.TimeoutException:
            return False
        time.sleep(0.05)
    return True


def written_over(wal):
    """Whether the WAL has stopped to grow; the file system finds room for one that grows, for which it waits."""
    before = wal.stat().st_size
    time.sleep(0.5)
    return before > WAL_BYTES and wal.stat().st_size == before


@contextmanager
def asking(service):
    """Callers until the block ends."""
    stop = threading.Event()
    callers = [Caller(service, i, stop) for i in range(CALLERS)]
    try:
        for caller in callers:
            caller.start()
        yield callers
    finally:
        stop.set()
        for caller in callers:
            caller.join(PATIENCE)


@pytest.mark.slow
def test_a_disk_that_hangs_hangs_no_caller(furnished, tmp_path, disks):
    """Who cannot be answered is refused within the budget, who comes later at once, and `/readyz` says so; the loop goes on, also when the kernel takes no more
    writes. With the disk back everybody is answered, and the log is what callers were told.

    Where the disk stops in the midst of a commit of the file system's own journal, even the next write stands still, and the loop with it: then once more.
    """
    disk, below = disks
    home, wal = disk / "home", disk / "home" / "decisions.db-wal"
    shutil.copytree(furnished, home)
    (home / "service.log").symlink_to(tmp_path / "service.log")  # whoever writes its lines on a disk that hangs waits for it
    with serving(home, SERVING__LOG_BUDGET_MS=str(BUDGET * 1e3)) as service:
        wait(lambda: service.ready().status_code == 200)
        with asking(service) as callers:
            wait(lambda: written_over(wal))
            assert any(refuses(service, callers, below) for _ in range(ATTEMPTS))
            wait(lambda: service.ready().status_code == 200)
    compare(home, callers)


def refuses(service, callers, below):
    """Whether the service went on, and refused, while the disk was gone; afterwards all are answered."""
    refused = [caller.refused for caller in callers]
    with frozen(below):
        went_on = goes_on(service, FROZEN)
        if went_on:
            assert all(caller.refused > before + ANSWERS for caller, before in zip(callers, refused, strict=True))
            began = time.monotonic()
            assert httpx.get(f"{service.url}/readyz", timeout=FROZEN).status_code == 503
            with service.client() as client:
                at_once = client.post("/v1/decisions", json={"member_id": member(2), "surface": "outbound"})
            assert at_once.status_code == 503
            assert time.monotonic() - began < BUDGET
            ready = service.ready()
            assert (ready.status_code, ready.json()["troubles"].keys()) == (503, {"log"})
    answered = [len(caller.decisions) for caller in callers]
    wait(lambda: all(len(c.decisions) >= before + ANSWERS for c, before in zip(callers, answered, strict=True)))
    return went_on
