"""Signals: the first stops the command, and none disturbs the cleaning up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from training.cli.stopping import only_one, stoppable, undisturbed
from training.config.settings import ROOT
from training.domain.errors import ConfigError

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
COMMAND = """
import atexit, sys, time
from training.cli import run
from training.cli.main import main
from training.cli.stopping import stoppable

def loop(*_, **__):
    with stoppable():
        try:
            print("up", flush=True)
            time.sleep(600)
        finally:
            print("cleaning", flush=True)
            time.sleep(1)
            print("clean", flush=True)

run.run = loop
atexit.register(time.sleep, 0.5)
atexit.register(print, "leaving", flush=True)
main(["run"])
"""


def test_two_commands_on_one_home_are_refused(tmp_path):
    """The second says why and what to do; after the first one it may."""
    with only_one(tmp_path), pytest.raises(ConfigError, match="RIGHTMATCH_HOME"), only_one(tmp_path):
        pass
    with only_one(tmp_path):
        pass


@pytest.mark.parametrize("first", SIGNALS, ids=lambda s: s.name)
def test_the_first_signal_stops_and_later_ones_do_not_disturb(first):
    """Two Ctrl-C are common; the second one must not leave Airflow running. The exit code is 130, also where one comes at the
    very end, and a sentence says that all has ended.
    """
    command = subprocess.Popen([sys.executable, "-c", COMMAND], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert command.stdout.readline() == "up\n"
    command.send_signal(first)
    assert command.stdout.readline() == "cleaning\n"
    for later in SIGNALS:
        command.send_signal(later)
        time.sleep(0.05)
    assert command.stdout.readline() == "clean\n"
    assert command.stdout.readline() == "leaving\n"
    for last in SIGNALS:
        command.send_signal(last)
    _, err = command.communicate(timeout=120)
    assert command.returncode == 130
    assert err == "rightmatch: stopped; everything that it started has ended\n"


IMPORTED = """
import os, signal
os.kill(os.getpid(), signal.SIGINT)
for _ in range(10_000):
    pass
whole = True
"""
IMPORTS = """
import sys, time
from training.cli.stopping import stoppable

try:
    with stoppable():
        import interrupted_within
        {then}
except KeyboardInterrupt:
    print("stopped", sys.modules["interrupted_within"].whole)
time.sleep(0.2)
print("undisturbed")
"""


@pytest.mark.parametrize("then", ["time.sleep(60)", "sys.stdout.flush()"], ids=["block goes on", "block ends"])
def test_a_signal_within_an_import_waits_for_its_end(tmp_path, then):
    """DuckDB's extension aborts the process if Ctrl-C is raised while it is imported, and an import may swallow it."""
    (tmp_path / "interrupted_within.py").write_text(IMPORTED)
    (tmp_path / "command.py").write_text(IMPORTS.format(then=then))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    done = subprocess.run([sys.executable, tmp_path / "command.py"], env=env, capture_output=True, text=True, check=False, timeout=50)
    assert (done.returncode, done.stdout, done.stderr) == (0, "stopped True\nundisturbed\n", "")


def test_the_handlers_come_back():
    """What calls us (pytest, a notebook) keeps its own Ctrl-C."""
    before = [signal.getsignal(n) for n in SIGNALS]
    with stoppable(), undisturbed():
        os.kill(os.getpid(), signal.SIGTERM)
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_an_ignored_hang_up_stays_ignored():
    """`nohup rightmatch up` survives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stoppable():
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_within_generated_code_is_130_too(tmp_path):
    """Python run as a module remembers a KeyboardInterrupt that left an `exec` of a string, caught or not, and then ends by SIGINT instead."""
    (tmp_path / "interrupted.py").write_text(
        "from training.cli import run\nfrom training.cli.main import main\nrun.run = lambda *_, **__: exec('raise KeyboardInterrupt')\nmain(['run'])\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path), str(ROOT)))}
    assert subprocess.run([sys.executable, "-m", "interrupted"], cwd=tmp_path, env=env, capture_output=True, check=False).returncode == 130
