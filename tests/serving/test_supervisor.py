"""How often a child is started again, and what the service says of itself."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket

import httpx
import pytest

from serving import supervisor
from serving.learn import BUSY
from serving.supervisor import AGAIN, MULTIPROCESS, STANDBY, Child
from tests.serving.conftest import PATIENCE, serving, wait


def killed():
    """As by the kernel."""
    os.kill(os.getpid(), signal.SIGKILL)


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
