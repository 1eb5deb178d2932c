"""How often a child is started again, and what the service says of itself."""

from __future__ import annotations

import errno
import faulthandler
import json
import os
import shutil
import signal
import socket
import time
from contextlib import suppress

import httpx
import pytest

from serving import supervisor, worker
from serving.learn import BUSY
from serving.supervisor import AGAIN, MULTIPROCESS, STANDBY, Child
from tests.serving.conftest import PATIENCE, serving, wait
from training.adapters.log_sqlite import Tending
from training.config.settings import Settings


def killed():
    """As by the kernel."""
    os.kill(os.getpid(), signal.SIGKILL)


def crashed():
    """As by an instruction that the processor does not know."""
    faulthandler.disable()
    os.kill(os.getpid(), signal.SIGILL)


@pytest.mark.parametrize(("run", "rest"), [(lambda: BUSY, STANDBY), (lambda: 0, AGAIN), (lambda: 1 / 0, AGAIN), (killed, AGAIN)])
def test_a_learner_that_finds_another_at_work_stands_by(tmp_path, monkeypatch, run, rest):
    """It would otherwise be forked every second for as long as the other one lives."""
    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    child = Child("learner", run)
    supervisor._keep(child)
    first = child.pid
    assert first
    wait(lambda: (supervisor._keep(child), child.pid != first)[1])
    assert (child.pid, child.rest) == (0, rest)


@pytest.mark.parametrize(
    ("name", "url"), [(("127.0.0.1", 8321), "http://127.0.0.1:8321"), (("::1", 34695, 0, 0), "http://[::1]:34695"), (("::", 8321), "http://[::]:8321")]
)
def test_an_address_is_a_url(name, url):
    """Of IPv6 too, whose colons are no part of the port."""
    assert supervisor.address(name) == url
    assert httpx.URL(url).port == name[1]


def test_a_failure_of_the_supervisor_itself_is_a_line_of_the_log(tmp_path, monkeypatch, capfd):
    """With its traceback in it, and Python's own exit code; the children were ended before."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    monkeypatch.setenv("RIGHTMATCH_SERVING__PORT", "0")
    ended = []
    monkeypatch.setattr(supervisor, "_children", lambda *_: [Child("learner", ended.append)])
    monkeypatch.setattr(supervisor, "_keep", lambda _: {}["no\nsuch"])
    monkeypatch.setattr(supervisor, "_end", ended.extend)
    monkeypatch.setattr(supervisor, "SIGNALS", ())
    monkeypatch.setenv(MULTIPROCESS, "")
    assert supervisor.main() == 1
    lines = [json.loads(line) for line in capfd.readouterr().err.splitlines()]
    assert [(line["event"], line.get("error")) for line in lines] == [("serving", None), ("failed", "KeyError: 'no\\nsuch'")]
    assert lines[1]["traceback"].startswith("Traceback (most recent call last):\n")
    assert "in _supervise" in lines[1]["traceback"]
    assert [child.name for child in ended] == ["learner"]


def test_without_a_catalog_nothing_is_started(tmp_path, monkeypatch, capfd):
    """Exit code 1 and what is missing: no worker could start, and whoever calls would wait for ever."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))
    monkeypatch.setenv("RIGHTMATCH_SERVING__PORT", "0")
    monkeypatch.setenv("RIGHTMATCH_CATALOG", str(tmp_path / "none"))
    monkeypatch.setattr(supervisor, "_supervise", lambda *_: pytest.fail("it listens"))
    assert supervisor.main() == 1
    said = capfd.readouterr()
    assert said.err.startswith(f"rightmatch: The catalog has no products.csv in {tmp_path / 'none'}")
    assert said.out == ""


def test_a_child_that_fails_again_and_again_is_started_ever_less_often(tmp_path, monkeypatch, capfd):
    """The line that tells of its end says what failed; one that has run for long begins anew, a killed one has not failed, and one that crashes has."""
    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    child, rests = Child("worker 1", lambda: 1 / 0), []
    for _ in range(6):
        ended(child)
        rests.append(child.rest)
    assert rests == [AGAIN, 2 * AGAIN, 4 * AGAIN, 8 * AGAIN, STANDBY, STANDBY]
    lines = [line for line in map(json.loads, capfd.readouterr().err.splitlines()) if line["event"] == "ended"]
    assert [(line["error"], line["failures"], line["code"]) for line in lines] == [("ZeroDivisionError: division by zero", n + 1, 1) for n in range(6)]
    child.started = time.monotonic() - supervisor.LONG
    ended(child, start=False)
    assert (child.failures, child.rest) == (1, AGAIN)
    child.run = killed
    ended(child)
    assert (child.failures, child.rest) == (0, AGAIN)
    child.run = crashed
    ended(child)
    ended(child)
    assert (child.failures, child.rest) == (2, 2 * AGAIN)
    assert not list(tmp_path.iterdir())


def test_a_machine_that_is_full_for_a_moment_ends_nothing(tmp_path, monkeypatch, capfd):
    """A fork that fails is a failure of that child alone, which is told and tried again; all others go on."""
    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    child, fork = Child("worker 1", lambda: 0, answers=True), os.fork

    def full():
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", full)
    for failures, rest in [(1, AGAIN), (2, 2 * AGAIN), (3, 4 * AGAIN)]:
        child.rest = 0.0
        supervisor._keep(child)
        supervisor._keep(child)  # too soon
        assert (child.pid, child.failures, child.rest) == (0, failures, rest)
    monkeypatch.setattr(os, "fork", fork)
    ended(child)
    assert (child.failures, child.rest) == (0, AGAIN)
    told = [line for line in map(json.loads, capfd.readouterr().err.splitlines()) if line["event"] == "failed"]
    words = f"BlockingIOError: [Errno {errno.EAGAIN}] Resource temporarily unavailable"
    assert [(line["child"], line["error"], line["failures"]) for line in told] == [("worker 1", words, n + 1) for n in range(3)]


def test_a_worker_that_cannot_start_says_why(home, tmp_path, monkeypatch, capfd):
    """Its end is told with what failed, where uvicorn ends with the number 3."""

    def refused(_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    monkeypatch.setattr(Tending, "start", refused)
    settings = Settings(home=home)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended(Child("worker 1", lambda: worker.serve(settings, listener)))
    told = [line for line in map(json.loads, capfd.readouterr().err.splitlines()) if line["event"] == "ended"]
    assert [line["error"] for line in told] == ["RuntimeError: can't start new thread"]


def ended(child, *, start=True):
    """Let it run once, and end."""
    if start:
        child.rest = 0.0
        supervisor._keep(child)
    else:
        child.pid = supervisor._fork(child)
    wait(lambda: (child.pid and supervisor._look(child), not child.pid)[1])


def test_whoever_does_not_end_in_time_is_killed(tmp_path, monkeypatch):
    """One ends when it is told to, one hears nothing, and one does not run: none is left, and the supervisor waits no longer than it must."""
    monkeypatch.setenv(MULTIPROCESS, str(tmp_path))
    monkeypatch.setattr(supervisor, "PATIENCE", 0.2)

    def deaf():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (tmp_path / "deaf").touch()
        time.sleep(PATIENCE)

    running = [Child("worker 1", lambda: time.sleep(PATIENCE)), Child("worker 2", deaf)]
    for child in running:
        supervisor._keep(child)
    wait((tmp_path / "deaf").exists)
    began = time.monotonic()
    supervisor._end([*running, Child("learner", deaf)])
    assert 0.2 <= time.monotonic() - began < PATIENCE / 2
    for child in running:
        with pytest.raises(ProcessLookupError):
            os.kill(child.pid, 0)


def test_where_no_worker_can_start_callers_are_hung_up_on(home):
    """The catalog is gone and the only worker dies: nobody waits for an answer that cannot come, and with the catalog back all goes on by itself."""
    catalog, aside = home / "catalog", home / "aside"
    shutil.copytree(Settings(home=home).catalog, catalog)
    with serving(home, CATALOG=str(catalog)) as service:
        catalog.rename(aside)
        os.kill(service.workers()[0], signal.SIGKILL)
        wait(lambda: any("products.csv" in str(line.get("error")) for line in service.said() if line["event"] == "ended"))
        wait(lambda: hung_up(service), pause=0.2)
        aside.rename(catalog)
        wait(lambda: service.ready().status_code == 200)


def hung_up(service):
    """Whether a caller is told at once that there is nobody."""
    began = time.monotonic()
    try:
        httpx.get(f"{service.url}/healthz", timeout=PATIENCE)
    except (httpx.RemoteProtocolError, httpx.ReadError):
        return time.monotonic() - began < PATIENCE / 2
    return False


@pytest.mark.parametrize("ignored", [True, False], ids=["nohup", "as it is"])
def test_a_hang_up_that_the_caller_ignores_stays_ignored(tmp_path, ignored):
    """`nohup rightmatch serve &` outlives its terminal, and so do its children; without nohup a closed terminal ends it."""
    theirs = os.fork()
    if not theirs:
        os.environ[MULTIPROCESS] = str(tmp_path)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.setblocking(False)
            supervisor._supervise([Child("learner", lambda: outlived(tmp_path))], listener, Settings())
        os._exit(0)
    try:
        wait((tmp_path / ("outlived" if ignored else "begun")).exists)
        os.kill(theirs, signal.SIGHUP)
        time.sleep(0.3)  # six turns
        assert bool(os.waitpid(theirs, os.WNOHANG)[0]) != ignored
    finally:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(theirs, signal.SIGTERM)
            os.waitpid(theirs, 0)


def outlived(folder):
    """Hang up on itself, and note whether that was the end."""
    (folder / "begun").touch()
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        os.kill(os.getpid(), signal.SIGHUP)
        (folder / "outlived").touch()
    signal.pause()


def test_every_line_of_the_log_is_json(furnished, tmp_path):
    """From the start to the end, of all processes, also where nobody can read what was sent; and where a socket of IPv6 is asked for its address is one."""
    shutil.copytree(furnished, tmp_path / "home")
    with serving(tmp_path / "home", SERVING__HOST="::1") as service:
        assert service.url.startswith("http://[::1]:")
        wait(lambda: service.ready().status_code == 200)
        with socket.create_connection(("::1", httpx.URL(service.url).port), PATIENCE) as line:
            line.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nnonsense\r\n\r\n")
            while line.recv(65_536):
                pass
    lines = (service.home / "service.log").read_text().splitlines()
    assert [line for line in lines if not line.startswith("{")] == []
    assert json.loads(lines[0])["event"] == "serving"
    assert json.loads(lines[0])["url"] == service.url
    assert service.process.returncode == 0
