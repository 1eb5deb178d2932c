"""Ending processes: whole families, strays, and no stranger."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import psutil

from training.cli.processes import end, remember, stop_strays

TREE = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)']); print('up', flush=True); time.sleep(300)"


def test_end_takes_the_whole_family():
    """A task's own children (dbt) do not outlive the command."""
    leader = subprocess.Popen([sys.executable, "-c", TREE], stdout=subprocess.PIPE, start_new_session=True)
    leader.stdout.readline()
    family = [psutil.Process(leader.pid), *psutil.Process(leader.pid).children(recursive=True)]
    assert len(family) == 2
    end([leader.pid])
    leader.wait(timeout=60)
    leader.stdout.close()
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_strays_of_a_killed_command_are_ended_but_no_stranger(tmp_path):
    """A pid that was given to another process since then is left alone."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"], start_new_session=True)
    pids = tmp_path / "pids.json"
    remember(pids, [child.pid])
    pids.write_text(json.dumps(json.loads(pids.read_text()) | {str(os.getpid()): 1.0}))
    stop_strays(pids)
    child.wait(timeout=60)
    assert not psutil.pid_exists(child.pid)
    assert not pids.exists()
