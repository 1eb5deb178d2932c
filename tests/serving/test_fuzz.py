"""Bytes that no client would send, over raw sockets to one real worker: it answers, refuses or hangs up, never with a 5xx, and goes on."""

from __future__ import annotations

import json
import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from time import monotonic
from urllib.parse import urlsplit

from serving.examples import OUTCOMES, QUESTION, RANK
from tests.serving.conftest import PATIENCE, member, soonest

SEED, BODIES, HEADERS, CALLERS = 23, 1_500, 1_000, 8

POSTS = {
    "/v1/decisions": QUESTION,
    "/v1/outcomes": OUTCOMES,
    "/personalizer/v1.1/rank": RANK,
    "/personalizer/v1.1/events/page-view-8f1c/reward": {"value": 1.0},
    "/personalizer/v1.1/events/page-view-8f1c/activate": {},
}
ODD_VALUES = [
    *(None, True, [], {}, [[]], "", " ", "m\n", "\u0000", "\ufffe", "\u202e", "'; DROP TABLE served_decisions; --", "x" * 128, "x" * 129, "é" * 128, "🙂" * 64),
    *(0, -1, -0.0, 1e-320, 1.7e308, 2**63, 2**64, -(2**70), 10**40, "NaN", "auto-1", "none", "web", ["x"] * 600, {"$ref": "#"}, {"x": {"y": [1]}}),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-14:00", "2026-02-30T00:00:00Z", "2026-03-02T12:00:60Z", "2026-03-02T12:00:00", "1e9"),
]
RAW = [b"NaN", b"1e999", b"-1e999", b"1" * 5000, b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff\xfe"', b'"\x00"', b"[" * 3000, b'{"a":' * 3000, b"\xef\xbb\xbf{}"]
ODD_HEADERS = [
    *("Authorization: Bearer", "Authorization: Bearer ", "Authorization: bearer rm_", "Authorization: Basic cm06eA==", "Authorization: " + "x" * 20_000),
    *(
        "Authorization: Bearer rm_a_b_c_d",
        "Authorization: Bearer rm__",
        "Authorization: Bearer rm_\xff\xfe_\x80",
        "Authorization: Bearer a\tb",
        "Authorization:",
    ),
    *("Ocp-Apim-Subscription-Key: ", "Ocp-Apim-Subscription-Key: \xe9", "traceparent: 00-0-0-00", "traceparent: \xff\xfe\x80", "traceparent: " + "0" * 9_000),
    *("Content-Length: -1", "Content-Length: +5", "Content-Length: 1e3", "Content-Length: 99999999999999999999", "Content-Length: 5, 6", "Content-Length:"),
    *("Content-Length: 1048577", "Content-Length: \xb2", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity"),
    *("Content-Type: text/xml", "Content-Type: application/json; charset=utf-16", "Content-Type: ;", "Content-Type: \xff", "Content-Encoding: gzip"),
    *("Expect: 100-continue", "Expect: nonsense", "Upgrade: websocket\r\nConnection: Upgrade", "Upgrade: h2c\r\nConnection: Upgrade", "Connection: nonsense"),
    *(
        "Host: \xff",
        "Host:",
        "X-Forwarded-For: \xff, ::1",
        "X-Forwarded-Proto: javascript",
        ": empty",
        "no colon",
        " folded: x",
        "a\x00b: c",
        "Accept: */*;q=9",
    ),
    *("X-Long: " + "y" * 70_000, "\r\n".join(f"X-{i}: {i}" for i in range(300)), "Range: bytes=0-", "TE: trailers", "Cookie: " + ";" * 1000),
]
LINES = [
    *(
        "GET /v1/decisions/%00 HTTP/1.1",
        "GET /v1/decisions/%ff%fe HTTP/1.1",
        "GET /v1/decisions/" + "x" * 5000 + " HTTP/1.1",
        "GET /v1/decisions/../../etc HTTP/1.1",
    ),
    *("GET /v1/decisions/%ed%a0%80 HTTP/1.1", "GET //metrics HTTP/1.1", "GET /metrics?x=%00 HTTP/1.1", "HEAD /metrics HTTP/1.1", "OPTIONS * HTTP/1.1"),
    *(
        "POST /personalizer/v1.1/events/%00/reward HTTP/1.1",
        "POST /personalizer/v1.1/events/%f0%9f%99%82/activate HTTP/1.1",
        "GET /readyz HTTP/0.9",
        "GET /healthz",
    ),
    *(
        "GET http://elsewhere/healthz HTTP/1.1",
        "CONNECT elsewhere:443 HTTP/1.1",
        "BREW /v1/decisions HTTP/1.1",
        "DELETE /v1/decisions HTTP/1.1",
        "POST /v1/decisions HTTP/9.9",
        "PRI * HTTP/2.0",
        "\x16\x03\x01",
    ),
]


def raw(line: str, headers: list[str], body: bytes) -> bytes:
    """One request as bytes; headers go out as latin-1 whatever they hold."""
    return "\r\n".join([line, *headers, "", ""]).encode("latin-1") + body


def odd_body(rng: random.Random, example: object) -> bytes:
    """The example with a value exchanged, a part lost or doubled, or bytes turned."""
    value = json.loads(json.dumps(example))
    place = rng.choice(value) if isinstance(value, list) else value
    if place and rng.random() < 0.6:
        name = rng.choice([*place, "unknown"])
        place[name] = rng.choice(ODD_VALUES)
    body = bytearray(json.dumps(value, ensure_ascii=rng.random() < 0.5).encode())
    for _ in range(rng.choice([0, 0, 1, 3])):
        at = rng.randrange(len(body) + 1)
        end = rng.randrange(at, min(len(body), at + 12) + 1)
        body[at:end] = rng.choice([b"", bytes([rng.randrange(256)]), bytes(body[at:end]) * 2, rng.choice(RAW)])
    return bytes(body) if rng.random() < 0.95 else rng.choice(RAW)


def bodies(rng: random.Random, token: str) -> list[bytes]:
    """Whole requests with odd bodies, by a caller who is let in."""
    found = []
    for _ in range(BODIES):
        path = rng.choice(list(POSTS))
        body = odd_body(rng, POSTS[path])
        headers = ["Host: x", f"Authorization: Bearer {token}", "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close"]
        found.append(raw(f"POST {path} HTTP/1.1", headers, body))
    return found


def heads(rng: random.Random, token: str) -> list[bytes]:
    """Odd request lines and headers, before a body that may not fit them."""
    found = []
    for i in range(HEADERS):
        line = LINES[i % len(LINES)] if rng.random() < 0.4 else f"POST {rng.choice(list(POSTS))} HTTP/1.1"
        headers = ["Host: x", "Connection: close", *rng.choices(ODD_HEADERS, k=rng.choice([1, 1, 2, 3]))]
        if rng.random() < 0.7:
            headers.insert(rng.randrange(len(headers)), f"Authorization: Bearer {token}")
        body = rng.choice([b"", b"{}", json.dumps(QUESTION).encode(), b"5\r\nhello\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n", b"zz\r\n", b"\r\n\r\n"])
        if rng.random() < 0.6:
            headers.append(f"Content-Length: {len(body)}")
        found.append(raw(line, headers, body))
    return found


def answered(url: str, request: bytes) -> str:
    """Status of the first answer, `closed` where there was none; a request that was cut short is ended after half a second. Raises TimeoutError if it hangs."""
    where = urlsplit(url)
    with socket.create_connection((where.hostname, where.port), PATIENCE) as connection:
        got = b""
        try:
            connection.sendall(request)
            connection.settimeout(0.5)
            got = connection.recv(65_536)
        except TimeoutError:  # it waits for more, as it may
            connection.settimeout(PATIENCE)
            connection.shutdown(socket.SHUT_WR)
            got = connection.recv(65_536)
        except (ConnectionResetError, BrokenPipeError):
            pass
    head = got.split(b"\r\n")[0].split(b" ")
    return head[1].decode() if len(head) > 1 and head[0].startswith(b"HTTP/") else "closed"


def test_no_bytes_bring_it_down(service):
    """Hundreds of odd bodies and heads by several callers, while others have connected and say nothing; then it decides as before."""
    rng, before = random.Random(SEED), service.workers()
    requests = [*bodies(rng, service.token), *heads(rng, service.token)]
    rng.shuffle(requests)
    where = urlsplit(service.url)
    with ExitStack() as silent, ThreadPoolExecutor(CALLERS) as callers:
        for i in range(60):
            idle = silent.enter_context(socket.create_connection((where.hostname, where.port), PATIENCE))
            idle.sendall(b"POST /v1/decisions HTTP/1.1\r\nHost: x\r\n"[: i % 40])
        seen = list(callers.map(lambda r: answered(service.url, r), requests))
        with service.client() as client:
            answer = client.post("/v1/decisions", json={"member_id": member(2), "surface": "web"})
    failed = [(status, request[:500]) for status, request in zip(seen, requests, strict=True) if status.startswith("5")]
    assert not failed, failed[:3]
    assert (answer.status_code, answer.json()["reason"]) == (200, "champion")
    counted = Counter(seen)
    assert {"200", "400", "401", "404", "405", "415", "422"} <= set(counted), counted
    assert service.workers() == before
    told = [line for line in service.said() if line["event"] in {"ended", "failed", "trouble"}]
    assert not told, told[:3]


def test_a_body_that_comes_byte_by_byte_keeps_nobody_else_waiting(service):
    """Twenty callers dribble; another one is answered at once, and so are they in the end."""
    where, body = urlsplit(service.url), json.dumps({"member_id": member(4), "surface": "web"}).encode()
    head = raw("POST /v1/decisions HTTP/1.1", ["Host: x", f"Authorization: Bearer {service.token}", f"Content-Length: {len(body)}", "Connection: close"], b"")
    with ExitStack() as open_ones, service.client() as client:
        slow = [open_ones.enter_context(socket.create_connection((where.hostname, where.port), PATIENCE)) for _ in range(20)]
        for one in slow:
            one.sendall(head)
        for byte in body[:-1]:
            for one in slow:
                one.sendall(bytes([byte]))

        def seconds():
            began = monotonic()
            assert client.post("/v1/decisions", json={"member_id": member(6), "surface": "web"}).status_code == 200
            return monotonic() - began

        assert soonest(seconds, 1.0) < 1.0
        for one in slow:
            one.sendall(body[-1:])
        assert [one.recv(65_536).split(b" ")[1] for one in slow] == [b"200"] * 20
