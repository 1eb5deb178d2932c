"""Tasks by several processes: answers as they come, and nobody is left behind, however it ends."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import psutil
import pytest

from bench.world.crew import Alone, Processes
from training.config.settings import ROOT
from training.domain.errors import StepError

OWNER = """
import sys, time
from functools import partial
from bench.world.crew import Processes
from training.cli.stopping import stoppable

if __name__ == "__main__":
    with stoppable(), Processes(2, int) as crew:
        crew.give(partial(time.sleep, 600))
        crew.give(partial(time.sleep, 0))
        crew.answer()
        print("up", flush=True)
        crew.answer()
"""


def test_answers_come_as_they_are_found_from_processes_that_are_kept():
    """What sleeps does not hold up what does not; the second and third task are those of one process, and none is this one."""
    with Processes(2, int) as crew:
        crew.give(partial(time.sleep, 600))
        crew.give(os.getpid)
        assert not crew.free
        first = crew.answer()
        assert crew.free
        crew.give(os.getpid)
        assert crew.answer() == first != os.getpid()
        assert crew.busy
        there = psutil.Process().children()
    assert not any(child.is_running() for child in there if "spawn_main" in " ".join(_command(child)))


def test_an_error_is_raised_here_with_where_it_was():
    """Its type and words, and a note with the traceback; other tasks are not waited for."""
    with Processes(2, int) as crew:
        crew.give(partial(time.sleep, 600))
        crew.give(partial(json.loads, "?"))
        with pytest.raises(json.JSONDecodeError, match="Expecting value") as found:
            crew.answer()
    assert "raw_decode" in found.value.__notes__[0]


def test_a_process_that_ends_without_an_answer_is_an_error():
    """As one does that the system kills for its memory."""
    with Processes(1, int) as crew:
        crew.give(partial(os._exit, 7))
        with pytest.raises(StepError, match=r"ended with 7, .*fewer --jobs"):
            crew.answer()


@pytest.mark.parametrize("last", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_all_end_with_their_owner(last, tmp_path):
    """Whether it may clean up or not; and a Ctrl-C, which the terminal sends to all of them, is heard by the owner alone."""
    script = tmp_path / "owner.py"
    script.write_text(OWNER)
    owner = subprocess.Popen([sys.executable, script], env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert owner.stdout.readline() == "up\n"
    children = [child for child in psutil.Process(owner.pid).children() if "spawn_main" in " ".join(_command(child))]
    assert len(children) == 2
    for child in children:
        child.send_signal(signal.SIGINT)
    time.sleep(0.1)
    assert all(child.is_running() for child in children)
    owner.send_signal(last)
    _, gone = owner.communicate(timeout=60), psutil.wait_procs(children, timeout=60)
    assert not gone[1]


def test_alone_everything_happens_here_and_in_turn():
    """One task at a time, done when its answer is asked for."""
    crew = Alone()
    with pytest.raises(RuntimeError, match="before give"):
        crew.answer()
    crew.give(os.getpid)
    assert (crew.free, crew.busy) == (False, True)
    assert crew.answer() == os.getpid()
    assert (crew.free, crew.busy) == (True, False)


def _command(process):
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:
        return []
