"""The client against a small server that knows what it was asked."""

from __future__ import annotations

import asyncio
import math
from contextlib import asynccontextmanager

import pytest

from bench.serving.load import Address, Load, closed_loop, percentile, post, run
from bench.serving.rounds import TOGETHER, Contender, Figures, Plan, measure


class Answers:
    """A server on a free port: counts requests, answers in two pieces, hangs up after `lives` requests of a connection, refuses every `bad`th."""

    def __init__(self, lives: int = 10**9, bad: int = 10**9, delay: float = 0.0) -> None:
        self.lives, self.bad, self.delay = lives, bad, delay
        self.bodies: list[bytes] = []
        self.busy = self.most = 0

    @asynccontextmanager
    async def running(self):
        """Its address."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            yield Address("127.0.0.1", server.sockets[0].getsockname()[1])

    async def _serve(self, reader, writer):
        for _ in range(self.lives):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r")[0])
            self.bodies.append(await reader.readexactly(length))
            self.busy += 1
            self.most = max(self.most, self.busy)
            await asyncio.sleep(self.delay)
            self.busy -= 1
            status = b"503 Busy" if len(self.bodies) % self.bad == 0 else b"200 OK"
            answer = self.bodies[-1][::-1]
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: " + str(len(answer)).encode() + b"\r\n\r\n" + answer[:1])
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(answer[1:])
        writer.close()


def loaded(answers: Answers, requests: list[bytes], connections: int, **options: object) -> Load:
    """The load of one closed loop against `answers`."""

    async def both() -> Load:
        async with answers.running() as address:
            return await closed_loop(address, requests, connections, **options)

    return run(both)


def test_each_answer_is_counted_once_and_requests_come_round_again():
    """Five requests from a list of two: all bytes arrive, in order, and the answers' bodies are whole."""
    answers = Answers()
    load = loaded(answers, [post("/x", b"one"), post("/x", b"two!")], 1, count=5, keep=True)
    assert answers.bodies == [b"one", b"two!", b"one", b"two!", b"one"]
    assert load.bodies == [b"eno", b"!owt", b"eno", b"!owt", b"eno"]
    assert (len(load.seconds), load.failed, load.reopened) == (5, 0, 0)
    assert load.rps == pytest.approx(5 / load.wall)
    assert sum(load.seconds) <= load.wall


def test_connections_work_at_once_and_never_more_than_were_asked_for():
    """With four connections four requests are under way; a latency includes the 5 ms of the server, whose timer rounds."""
    answers = Answers(delay=0.005)
    load = loaded(answers, [post("/x", b"body")], 4, seconds=0.2)
    assert answers.most == 4
    assert load.wall >= 0.2
    assert min(load.seconds) >= 0.003
    assert len(load.seconds) <= len(answers.bodies)


def test_a_closed_connection_is_opened_again_and_its_request_repeated():
    """A server that hangs up after every third answer (as Feast's does when its worker restarts) loses none of ten requests."""
    load = loaded(Answers(lives=3), [post("/x", b"body")], 1, count=10)
    assert (len(load.seconds), load.reopened, load.failed) == (10, 3, 0)


def test_answers_that_are_no_success_are_counted_as_failed():
    """Every second one is a 503."""
    assert loaded(Answers(bad=2), [post("/x", b"body")], 1, count=10).failed == 5


def test_percentiles_are_of_milliseconds():
    """1 to 101 ms: the median is 51, the 99th percentile 100; of nothing there is none."""
    seconds = [k / 1000 for k in range(1, 102)]
    assert percentile(seconds, 50) == 51.0
    assert percentile(seconds, 99) == 100.0
    assert math.isnan(percentile([], 50))


def test_figures_leave_out_the_first_answers_of_each_round_and_take_the_median_rate():
    """The first 5% of a turn are slow and do not count; three rounds of 10, 30 and 20 a second are 20."""
    figures = Figures()
    for rate in (10, 30, 20):
        figures.add(Load([9.0] * 5 + [0.001] * 95, 1.0), Load([0.5] * rate, 1.0))
    assert figures.short() == {"p50_ms": 1.0, "p99_ms": 1.0, "rps": 20.0}
    assert figures.detail()["rps_by_round"] == [10.0, 30.0, 20.0]
    assert figures.detail()[f"loaded_{TOGETHER}"]["p50_ms"] == 500.0


def test_servers_are_asked_the_same_in_turns(monkeypatch, capsys):
    """Two servers, two rounds and one to warm up: each is asked about the same members once both rest, and the warm-up is not counted."""
    turns: list[tuple[int, list[bytes]]] = []
    rested: list[tuple[int, list[int]]] = []

    def rest(pids):
        rested.append((len(turns), pids))
        return len(rested) != 4

    async def instead(address, requests, connections, *, count=None, seconds=0.0):
        if connections == 1:
            turns.append((address.port, list(requests[: count or 0])))
        return Load([0.002] * (count or 100), 1.0)

    monkeypatch.setattr("bench.serving.rounds.closed_loop", instead)
    monkeypatch.setattr("bench.serving.rounds.rest", rest)
    contenders = {name: Contender(Address("127.0.0.1", port), lambda i: str(i).encode(), 10 + port) for name, port in (("a", 1), ("b", 2))}
    found = measure(contenders, 50, Plan(rounds=2, alone=20, seconds=0.1), seed=1)
    assert [port for port, _ in turns] == [1, 2, 1, 2, 1, 2]
    assert all(turns[k][1] == turns[k + 1][1] for k in (0, 2, 4))
    assert turns[2][1] != turns[4][1]
    assert len(found["a"].alone) == 2 * 19
    assert rested == [(k, [11, 12]) for k in range(6)]
    assert capsys.readouterr().err.count("before b: a server has been busy") == 1
