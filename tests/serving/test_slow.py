"""Callers who do not finish what they began to send are hung up on, those who ask too often are refused; others are not."""

from __future__ import annotations

import shutil
import signal
import socket
import sqlite3
import threading
import time
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest

from serving import supervisor
from serving.slow import Waits
from tests.serving.conftest import PATIENCE, member, serving, wait
from training.adapters.log_keys import ApiKeys
from training.config.settings import Settings

MOST, RATE = 2.0, 300
HEAD = "POST /v1/decisions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: {size}\r\n\r\n"


class Transport:
    """Knows whether it was closed."""

    closed = False

    def close(self):
        """Hang up."""
        self.closed = True


class Cycle:
    """A request of which more is to come, or not; answered, or not."""

    def __init__(self, more_body, response_complete):
        self.more_body, self.response_complete = more_body, response_complete


class Connection:
    """As uvicorn's protocols look; `idle` has their own timer between two requests."""

    def __init__(self, cycle, idle=False):
        self.cycle, self.timeout_keep_alive_task, self.transport = cycle, object() if idle else None, Transport()


def test_only_who_keeps_one_request_waiting_is_hung_up_on():
    """Nothing sent yet, a body that does not come, and a second request that does not: all closed after ten seconds, none before. Not: who is being answered,
    who is idle between two requests, and who has begun another request meanwhile.
    """
    stuck = [Connection(None), Connection(Cycle(True, False)), Connection(Cycle(False, True))]
    fine = [Connection(Cycle(False, False)), Connection(Cycle(False, True), idle=True), Connection(Cycle(True, False))]
    waits = Waits([*stuck, *fine], 10.0)
    for now in (0.0, 9.0):
        waits.look(now)
    fine[2].cycle = Cycle(True, False)
    waits.look(10.0)
    assert not any(one.transport.closed for one in (*stuck, *fine))
    waits.look(10.5)
    assert [one.transport.closed for one in (*stuck, *fine)] == [True, True, True, False, False, False]


@pytest.fixture(name="service")
def _service(furnished, tmp_path):
    """One worker that waits for MOST seconds, and lets a key ask RATE times a minute."""
    home = tmp_path / "home"
    shutil.copytree(furnished, home)
    with serving(home, 1, SERVING__REQUEST_SECONDS=str(MOST), SERVING__RATE_LIMIT=f"{RATE}/minute") as running:
        wait(lambda: running.ready().status_code == 200)
        yield running


def test_a_slow_caller_is_hung_up_on_and_a_quick_one_is_not(service):
    """One says nothing, one stops within its head, one within its body, one dribbles on: the service ends all four. Another decides all the while."""
    where, head = urlsplit(service.url), HEAD.format(token=service.token, size=9_000).encode()
    with ExitStack() as stack, service.client() as client:
        slow = [stack.enter_context(socket.create_connection((where.hostname, where.port), PATIENCE)) for _ in range(4)]
        for one, sent in zip(slow, (b"", head[:30], head + b"{", head), strict=True):
            one.sendall(sent)
            one.setblocking(False)
        began, ended = time.monotonic(), [False] * 4
        while not all(ended):
            assert time.monotonic() - began < PATIENCE
            assert client.post("/v1/decisions", json={"member_id": member(6), "surface": "web"}).status_code == 200
            if not ended[3]:
                dribble(slow[3])
            ended = [gone or closed(one) for gone, one in zip(ended, slow, strict=True)]
            if time.monotonic() - began < MOST / 2:
                assert not any(ended)
            time.sleep(0.2)


def test_who_asks_too_often_is_told_and_others_go_on(service):
    """A 429 as a problem that says which key, and when to come again."""
    other = ApiKeys(Settings(home=service.home).log_url).create("other", ("read",), datetime.now(UTC))
    with service.client(other) as busy, service.client() as calm:
        wait(lambda: busy.get("/v1/decisions/none").status_code == 404)  # the new key is known
        wait(lambda: busy.get("/v1/decisions/none").status_code == 429, pause=0.0)
        refused = busy.get("/v1/decisions/none")
        assert calm.get("/metrics").status_code == 200
    assert refused.headers["content-type"] == "application/problem+json"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert other.split("_")[1] in refused.json()["detail"]


def dribble(one):
    """A byte more of white space, which JSON allows for ever."""
    with suppress(OSError):
        one.sendall(b" ")


def closed(one):
    """Whether the other side has hung up."""
    try:
        return one.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def halved(service, stack):
    """A caller who has sent half a request, which a worker has begun to read."""
    where = urlsplit(service.url)
    one = stack.enter_context(socket.create_connection((where.hostname, where.port), PATIENCE))
    one.sendall(HEAD.format(token=service.token, size=9_000).encode() + b"{")
    time.sleep(0.5)
    one.setblocking(False)
    return one


def idling(service, stack):
    """A caller who was answered, and asks no more."""
    where = urlsplit(service.url)
    one = stack.enter_context(socket.create_connection((where.hostname, where.port), PATIENCE))
    one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    assert one.recv(65_536).startswith(b"HTTP/1.1 200")
    one.setblocking(False)
    return one


def refused(service):
    """Whether nobody listens any more."""
    where = urlsplit(service.url)
    try:
        socket.create_connection((where.hostname, where.port), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    return False


def test_half_a_request_keeps_the_service_from_ending_for_no_longer_than_any(service):
    """After SIGTERM: callers are refused at once, and half a request is hung up on; the worker ends by itself and says so."""
    with ExitStack() as stack:
        half = halved(service, stack)
        began = time.monotonic()
        service.process.send_signal(signal.SIGTERM)
        assert wait(lambda: refused(service)) < MOST / 2
        assert not closed(half)
        service.process.wait(PATIENCE)
        assert time.monotonic() - began < supervisor.PATIENCE / 2
        assert closed(half)
    assert [line["pid"] for line in service.said() if line["event"] == "worker ended"] == service.workers()


def test_without_a_supervisor_half_a_request_keeps_no_worker(service):
    """Which was killed: nobody else would end the worker."""
    with ExitStack() as stack:
        half, began = halved(service, stack), time.monotonic()
        service.process.kill()
        assert wait(lambda: refused(service)) < MOST / 2
        wait(lambda: any(line["event"] == "worker ended" for line in service.said()))
        assert time.monotonic() - began < supervisor.PATIENCE / 2
        assert closed(half)


def test_what_has_come_whole_is_answered_though_the_service_ends(service):
    """The log is held by somebody else while it is told to end; the caller waits, and gets the decision. Who has asked before, and is idle, is hung up on."""
    log = sqlite3.connect(Settings(home=service.home).log_url.removeprefix("sqlite:///"), isolation_level=None)
    answers = []
    with closing(log), service.client() as client, ExitStack() as stack:
        idle = idling(service, stack)
        log.execute("begin immediate")
        caller = threading.Thread(target=lambda: answers.append(client.post("/v1/decisions", json={"member_id": member(8), "surface": "web"})))
        caller.start()
        time.sleep(0.5)
        service.process.send_signal(signal.SIGTERM)
        assert wait(lambda: refused(service) and closed(idle)) < MOST / 2
        assert not answers
        log.execute("rollback")
        caller.join(PATIENCE)
    service.process.wait(PATIENCE)
    assert [answer.status_code for answer in answers] == [200]
