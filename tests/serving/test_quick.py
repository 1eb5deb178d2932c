"""Decisions that are answered without ASGI, over raw sockets to one real worker: HTTP as before, and whatever is refused as before."""

from __future__ import annotations

import json
import time

import pytest

from tests.serving.conftest import member

PATIENCE = 60.0
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def question(service, *headers, i=2, version="1.1", **more):
    """A whole request for a decision."""
    body = json.dumps({"member_id": member(i), "surface": "web", **more}).encode()
    lines = [f"POST /v1/decisions HTTP/{version}", "Host: x", f"Authorization: Bearer {service.token}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def answers(line, count):
    """Status, headers and body of so many answers; the connection's end before them is an error."""
    found, held = [], b""
    while len(found) < count:
        head, end, rest = held.partition(b"\r\n\r\n")
        headers = dict(each.lower().split(": ", 1) for each in head.decode().split("\r\n")[1:]) if end else {}
        size = int(headers.get("content-length", 0))
        if end and len(rest) >= size:
            found.append((int(head[9:12]), headers, rest[:size]))
            held = rest[size:]
            continue
        got = line.recv(65_536)
        assert got, held
        held += got
    assert held == b""
    return found


@pytest.fixture(autouse=True)
def _known(service):
    """The key was read a moment ago: else a decision takes uvicorn's way."""
    with service.client() as client:
        client.get("/metrics").raise_for_status()


def test_requests_of_one_connection_are_answered_in_order(service, line):
    """Sent together, decisions and others mixed, and once more afterwards."""
    health = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    one, two = question(service, request_id="quick-1"), question(service, i=4, request_id="quick-2")
    line.sendall(one + two + health + question(service, i=6) + one)
    found = answers(line, 5)
    assert [status for status, _, _ in found] == [200] * 5
    ids = [json.loads(body).get("decision_id") for _, _, body in found]
    assert ids[0] == ids[4] != ids[1]
    assert ids[2] is None
    assert len(set(ids)) == 4
    line.sendall(question(service, i=4, request_id="quick-2"))
    assert json.loads(answers(line, 1)[0][2])["decision_id"] == ids[1]


def test_a_request_may_come_in_pieces(service, line):
    """Cut within its head and within its body."""
    whole = question(service)
    for part in (whole[:25], whole[25:-20], whole[-20:-3], whole[-3:]):
        line.sendall(part)
        time.sleep(0.05)
    assert answers(line, 1)[0][0] == 200


@pytest.mark.parametrize(("version", "header"), [("1.0", "X: y"), ("1.1", "Connection: close")])
def test_a_caller_who_wants_no_more_is_hung_up_on(service, line, version, header):
    """After the answer, which says so."""
    line.sendall(question(service, header, version=version))
    status, headers, _ = answers(line, 1)[0]
    assert (status, headers["connection"]) == (200, "close")
    assert line.recv(1) == b""


def test_a_trace_is_passed_on_and_anything_else_is_not(service, line):
    """As the caller sent it."""
    line.sendall(question(service, f"traceparent: {TRACE}") + question(service, "traceparent: 00-me"))
    found = answers(line, 2)
    assert found[0][1]["traceparent"] == TRACE
    assert "traceparent" not in found[1][1]


REFUSED = [
    (("Content-Type: text/plain",), {}, 415),
    (("Content-Type: application/json; charset=utf-8",), {}, 200),
    (("Content-Encoding: gzip",), {}, 415),
    (("Content-Encoding: identity",), {}, 200),
    (("Authorization: Basic xyz",), {}, 200),
    ((), {"surface": "fax"}, 422),
    ((), {"channels": 7}, 422),
    ((), {"request_id": "auto-1"}, 422),
    ((), {"at": "2026-01-01T00:00:00Z"}, 422),
    ((), {"request_id": "quick-taken"}, 200),
    ((), {"request_id": "quick-taken", "exclude": ["x"]}, 409),
]


@pytest.mark.parametrize(("headers", "more", "status"), REFUSED)
def test_what_is_not_plain_is_answered_as_through_asgi(service, line, headers, more, status):
    """A body in chunks always takes that way: the same status and the same problem."""
    plain = question(service, *headers, **more)
    head, _, body = plain.partition(b"\r\n\r\n")
    lines = [each for each in head.split(b"\r\n") if not each.startswith(b"Content-Length")]
    chunked = b"\r\n".join([*lines, b"Transfer-Encoding: chunked", b"", b"%x" % len(body), body, b"0", b"", b""])
    line.sendall(plain)
    (one,) = answers(line, 1)
    line.sendall(chunked)
    (other,) = answers(line, 1)
    assert one[0] == other[0] == status, one
    assert one[1]["content-type"] == other[1]["content-type"]
    if status != 200:
        assert one[2] == other[2]


def test_nobody_gets_in_without_a_key(service, line):
    """One that is nobody's, none, and one by another scheme."""
    for sent, instead in ((service.token.encode(), b"rm_0_1"), (b"Authorization", b"X-Other"), (b"Bearer", b"Digest")):
        line.sendall(question(service).replace(sent, instead))
        assert answers(line, 1)[0][0] == 401


@pytest.mark.parametrize(("there", "status"), [(b"PUT /v1/decisions", 405), (b"POST /v1/decision", 404), (b"POST /v1/decisions?x=1", 200)])
def test_a_question_elsewhere_is_no_question(service, line, there, status):
    """By another method or at another path nothing is decided; a query changes nothing."""
    line.sendall(question(service).replace(b"POST /v1/decisions", there))
    assert answers(line, 1)[0][0] == status


def test_a_caller_who_waits_to_be_asked_for_the_body_is_asked(service, line):
    """As some clients do with each body."""
    head, end, body = question(service, "Expect: 100-continue").partition(b"\r\n\r\n")
    line.sendall(head + end)
    asked = b"HTTP/1.1 100 Continue\r\n\r\n"
    assert line.recv(len(asked)) == asked
    line.sendall(body)
    assert answers(line, 1)[0][0] == 200
