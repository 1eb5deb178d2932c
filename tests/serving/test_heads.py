"""Heads without end, offers of another protocol, and what is no request, or nobody's, over raw sockets to one real worker."""

from __future__ import annotations

import json
import socket
import time
from collections import Counter
from contextlib import suppress
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.heads import MOST_HEAD, MOST_HEADERS, PIECE
from tests.serving.conftest import PATIENCE, wait
from tests.serving.test_quick import answers, question

OFFER = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
PROBLEM = "application/problem+json"


def gone(line):
    """Whether the other side has hung up, with nothing more to say."""
    try:
        return line.recv(1) == b""
    except ConnectionResetError:
        return True


def refused(line):
    """Status and body of the only answer, which is a problem, after which the connection ends."""
    ((status, headers, body),) = answers(line, 1)
    assert (headers["content-type"], headers["connection"]) == (PROBLEM, "close")
    assert json.loads(body)["status"] == status
    assert gone(line)
    return status


def head(*headers, line="GET /healthz HTTP/1.1"):
    """Of a request."""
    return "\r\n".join([line, "Host: x", *headers, "", ""]).encode()


LONG = [
    head("X-A: " + "a" * MOST_HEAD),
    head(*("X-A: " + "a" * 1_000 for _ in range(66))),
    head(*(f"X-{i}: {i}" for i in range(MOST_HEADERS))),
    head(line="GET /" + "a" * MOST_HEAD + " HTTP/1.1"),
    head(*OFFER, "X-A: " + "a" * MOST_HEAD),
]


@pytest.mark.parametrize("sent", LONG, ids=["one", "several", "many", "line", "offer"])
def test_a_head_is_bounded(line, sent):
    """In bytes and in number; beyond it a problem, and an end."""
    line.sendall(sent)
    assert refused(line) == 431


def test_a_head_up_to_the_bound_is_read(line):
    """As many bytes, and as many headers, sent in one or byte after byte at the end."""
    for sent in (head("X-A: " + "a" * (MOST_HEAD - 100)), head(*(f"X-{i}: {i}" for i in range(MOST_HEADERS - 1)))):
        line.sendall(sent[:-2])
        time.sleep(0.05)
        line.sendall(sent[-2:])
        assert answers(line, 1)[0][0] == 200


@pytest.mark.parametrize(
    ("before", "piece"),
    [
        (head()[:-2] + b"X-A: ", b"a" * 4_096),
        (head()[:-2] + b"X-A", b"a" * 4_096),
        (b"GET /", b"a" * 4_096),
        (head()[:-2], b"X-A: a\r\n" * 512),
        (head("Transfer-Encoding: chunked", line="POST /v1/decisions HTTP/1.1") + b"0\r\nX-A: ", b"a" * 4_096),
    ],
    ids=["value", "name", "line", "headers", "trailer"],
)
def test_a_head_without_end_is_cut(line, before, piece):
    """Whatever part of it does not end, also behind a body in chunks: nothing beyond the bound is taken."""
    line.sendall(before)
    sent = 0
    with suppress(ConnectionResetError, BrokenPipeError):
        while sent < 8 * MOST_HEAD:
            line.sendall(piece)
            sent += len(piece)
            time.sleep(0.002)  # so that it is read, and little more than the bound is under way
    assert MOST_HEAD - PIECE < sent < 4 * MOST_HEAD


def test_bodies_are_no_part_of_a_head(service, line):
    """Neither its own in the same piece, nor that of the request before: all are answered, with the next head cut anywhere."""
    large = json.dumps([{"kind": "shrug", "why": "x" * 90_000}]).encode()
    first = head(f"Authorization: Bearer {service.token}", f"Content-Length: {len(large)}", line="POST /v1/outcomes HTTP/1.1") + large
    second = head("X-A: " + "a" * 40_000)
    for cut in (1, 20, 20_000, len(second)):
        line.sendall(first + second[:cut])
        time.sleep(0.05)
        line.sendall(second[cut:] + question(service))
        assert [status for status, _, _ in answers(line, 3)] == [422, 200, 200]


def test_an_offer_of_another_protocol_is_ignored(service, line):
    """With a body, its size given or in chunks, and without: each is answered as if nothing were offered, and so is what follows."""
    plain = question(service, request_id="offer-1")
    offering = question(service, *OFFER, request_id="offer-1")
    above, _, body = question(service, *OFFER, "Transfer-Encoding: chunked", request_id="offer-1").partition(b"\r\n\r\n")
    chunked = b"\r\n".join([each for each in above.split(b"\r\n") if not each.startswith(b"Content-Length")]) + b"\r\n\r\n"
    chunked += b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for sent in (offering, chunked):
        for cut in (len(sent), len(sent) - 20, 60):
            line.sendall(plain + sent[:cut])
            time.sleep(0.05)
            line.sendall(sent[cut:] + head(*OFFER) + head("Connection: Upgrade", "Upgrade: websocket") + plain)
            found = answers(line, 5)
            assert [status for status, _, _ in found] == [200] * 5
            assert found[0][2] == found[1][2] == found[4][2]


def test_an_outcome_comes_with_an_offer(service, line):
    """The other operations that have a body read it too; a caller who wants no more is hung up on."""
    body = json.dumps([{"kind": "shrug"}]).encode()
    key = (f"Authorization: Bearer {service.token}", f"Content-Length: {len(body)}", "Upgrade: h2c", "Connection: Upgrade, close")
    line.sendall(head(*key, line="POST /v1/outcomes HTTP/1.1") + body)
    ((status, headers, told),) = answers(line, 1)
    assert (status, headers["connection"]) == (422, "close")
    assert json.loads(told)["refused"][0]["index"] == 0
    assert gone(line)


UNREADABLE = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"GET /healthz\x00 HTTP/1.1\r\n\r\n",
    head("Content-Length: 1e3"),
    head("no colon"),
    head(line="CONNECT elsewhere:443 HTTP/1.1"),
    head("Transfer-Encoding: chunked", line="POST /v1/decisions HTTP/1.1").replace(b"Host", b"Authorization: Bearer {token}\r\nHost") + b"zz\r\n",
]


@pytest.mark.parametrize("sent", UNREADABLE, ids=["tls", "path", "size", "colon", "connect", "chunk"])
def test_what_is_no_request_is_a_problem(service, line, sent):
    """As any other error, also after one that was answered."""
    line.sendall(head())
    assert answers(line, 1)[0][0] == 200
    line.sendall(sent.replace(b"{token}", service.token.encode()))
    assert refused(line) == 400


def test_nobody_is_told_of_another_request(service, line):
    """What cannot be read after a request that is still being answered ends the connection: its 400 would be taken for the other's answer."""
    line.sendall(question(service) + b"nonsense\r\n\r\n")
    got = line.recv(65_536)
    assert not got.startswith(b"HTTP/1.1 4"), got


def test_what_is_refused_is_counted_and_logged_too(service, line):
    """Under one name, whatever callers make up; a body that announces to be too large under its operation. A trace is passed back."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4737"
    context = f"traceparent: 00-{trace}-00f067aa0ba902b7-01"
    before = counted(service)
    line.sendall(head(context, line="GET /v2/made/up HTTP/1.1") + head(context, line="DELETE /v1/decisions HTTP/1.1"))
    found = answers(line, 2)
    line.sendall(head(context, f"Authorization: Bearer {service.token}", f"Content-Length: {1 << 21}", line="POST /v1/outcomes HTTP/1.1"))
    found += answers(line, 1)
    assert [(status, f"traceparent: {headers['traceparent']}") for status, headers, _ in found] == [(404, context), (405, context), (413, context)]
    where = urlsplit(service.url)
    with socket.create_connection((where.hostname, where.port), PATIENCE) as other:
        other.sendall(b"nonsense\r\n\r\n")
        assert refused(other) == 400
    expected = {("unknown", "404"): 1, ("unknown", "405"): 1, ("unknown", "400"): 1, ("/v1/outcomes", "413"): 1, ("/metrics", "200"): 1}
    assert counted(service) - before == Counter(expected)
    paths = [("/v2/made/up", 404), ("/v1/decisions", 405), ("/v1/outcomes", 413)]
    wait(lambda: [(told["path"], told["status"]) for told in service.said() if told.get("trace_id") == trace] == paths)


def test_the_description_and_its_pages_are_counted_and_logged_too(service):
    """Each under its path, and a trace is passed back; a file that the pages do not have is nobody's, as any other path."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4738"
    context = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    static = "/static-offline-docs"
    asked = ["/openapi.json", "/docs", "/docs/oauth2-redirect", f"{static}/favicon.png", f"{static}/none"]
    before = counted(service)
    with service.client() as client:
        found = [client.get(path, headers=context) for path in asked]
    assert [(answer.status_code, answer.headers["traceparent"]) for answer in found] == [(200, context["traceparent"])] * 4 + [(404, context["traceparent"])]
    expected = {(path, "200"): 1 for path in ("/openapi.json", "/docs", "/docs/oauth2-redirect", static, "/metrics")} | {("unknown", "404"): 1}
    assert counted(service) - before == Counter(expected)
    paths = [(path, answer.status_code) for path, answer in zip(asked, found, strict=True)]
    wait(lambda: [(told["path"], told["status"]) for told in service.said() if told.get("trace_id") == trace] == paths)


def counted(service):
    """Requests so far, by operation and status."""
    with service.client() as client:
        families = text_string_to_metric_families(client.get("/metrics").text)
    samples = [sample for family in families if family.name == "rightmatch_request_seconds" for sample in family.samples if sample.name.endswith("_count")]
    return Counter({(each.labels["operation"], each.labels["status"]): int(each.value) for each in samples})
