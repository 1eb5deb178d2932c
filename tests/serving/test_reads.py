"""Reads of a log that does not answer: callers are told in time, and what nobody waits for is not read any more once it answers."""

from __future__ import annotations

import asyncio
import threading
import time
from types import SimpleNamespace

import pytest

from serving import rebuilding, records
from serving.decide import policy_note
from serving.patience import Crowded, Overdue, Reads
from serving.problems import Refusal
from serving.rebuilding import Rebuilding
from serving.requests import Told, failed
from tests.fakes.logs import served
from tests.serving.test_decider import until
from training.adapters.decision_log import DecisionLog
from training.config.settings import Settings


class Log:
    """Answers nothing before `gate` is open, and counts what it was asked."""

    def __init__(self):
        self.gate, self.asked = threading.Event(), []

    def find(self, name):
        self.asked.append(name)
        self.gate.wait(60)
        return name

    def refuse(self):
        raise OSError("the disk is gone")


def run(test):
    """Within a minute, with reads by two threads that are waited for half a second, twenty at most."""

    async def within():
        reads = Reads("reads", 0.5, threads=2, waiting=20)
        await asyncio.wait_for(test(reads, log := Log()), 60)
        reads.stop()
        return log

    return asyncio.run(within())


def kinds(found):
    """How many of each."""
    names = [type(one).__name__ for one in found]
    return {name: names.count(name) for name in names}


def test_what_nobody_waits_for_is_not_read_any_more():
    """Sixty ask of a log that hangs: twenty wait until they are told, the others are at once; once it answers only the two are read that had begun."""

    async def test(reads, log):
        began = time.monotonic()
        found = await asyncio.gather(*(reads.ask(log.find, f"d{i}") for i in range(60)), return_exceptions=True)
        assert kinds(found) == {"Overdue": 20, "Crowded": 40}
        with pytest.raises(Crowded):
            await reads.ask(log.find, "more")
        assert time.monotonic() - began < 5
        log.gate.set()
        await until(lambda: not len(reads))
        assert await reads.ask(log.find, "next") == "next"

    assert sorted(run(test).asked) == ["d0", "d1", "next"]


def test_a_caller_who_leaves_is_waited_for_no_more():
    """His task is cancelled before his turn."""

    async def test(reads, log):
        first = [asyncio.create_task(reads.ask(log.find, name)) for name in ("a", "b", "left")]
        await until(lambda: len(log.asked) == 2)
        first[2].cancel()
        await asyncio.wait({first[2]})
        log.gate.set()
        assert (await asyncio.gather(*first, return_exceptions=True))[:2] == ["a", "b"]
        await until(lambda: not len(reads))

    assert sorted(run(test).asked) == ["a", "b"]


def test_a_line_that_moves_is_waited_for():
    """Each is read within a tenth of a second, by two at a time: the last one waits two budgets."""

    async def test(reads, log):
        def slowly(i):
            time.sleep(0.1)
            return i

        assert await asyncio.gather(*(reads.ask(slowly, i) for i in range(20))) == list(range(20))

    run(test)


def test_one_that_hangs_is_refused_though_the_line_moves():
    """Others are answered all the time; whoever has the thread that hangs is told within the budget all the same."""

    async def test(reads, log):
        hung = asyncio.create_task(reads.ask(log.find, "hung"))
        began = time.monotonic()
        while not hung.done():
            assert await reads.ask(time.sleep, 0.01) is None
        assert time.monotonic() - began < 5
        with pytest.raises(Overdue):
            await hung
        log.gate.set()

    run(test)


def test_what_the_log_raises_is_raised():
    """It is the caller's to know."""

    async def test(reads, log):
        with pytest.raises(OSError, match="gone"):
            await reads.ask(log.refuse)

    run(test)


class Registry:
    """Gives no model before `gate` is open, and then says that it is gone."""

    def __init__(self):
        self.gate, self.asked = threading.Event(), []

    def fetch(self, version):
        self.asked.append(version)
        self.gate.wait(60)
        raise OSError(f"version {version} is gone")


def test_a_funnel_whose_model_is_not_there_in_time_is_refused(tmp_path, monkeypatch):
    """So is one that waits behind it, and one too many; once the store answers, what it says is told, and what nobody waits for is not rebuilt."""
    monkeypatch.setattr(rebuilding, "WAITING", 3)
    log, registry, settings = DecisionLog(f"sqlite:///{tmp_path / 'log.db'}"), Registry(), Settings()
    settings = settings.model_copy(update={"serving": settings.serving.model_copy(update={"log_budget_ms": 300.0})})
    with log.writing(["m1"]) as writing:
        writing.append([served(name, notes={"policy": policy_note(settings), "product": "p", "creative": "c"}, model_version=name) for name in "12345"])
    watch = SimpleNamespace(loaded=lambda _: None, world=SimpleNamespace(notes={}))

    async def test():
        core = SimpleNamespace(patience=0.3, log=log, reads=Reads("reads", 60), rebuilding=Rebuilding(log, registry, settings, watch))

        def show(name):
            return records.show(core, SimpleNamespace(path_params={"decision_id": f"d-{name}"}))

        found = await asyncio.gather(*(show(name) for name in "1234"), return_exceptions=True)
        registry.gate.set()
        await until(lambda: not len(core.rebuilding))
        answer = await show("5")
        core.reads.stop()
        core.rebuilding.stop()
        return found, answer

    found, answer = asyncio.run(asyncio.wait_for(test(), 60))
    assert all(isinstance(one, Refusal) for one in found)
    titles = [one.title for one in found]
    assert (titles.count("Model not rebuilt in time"), titles.count("Too many funnels")) == (3, 1)
    assert {(one.status, one.headers["Retry-After"]) for one in found} == {(503, "1")}
    assert (answer.status_code, b"version 5 is gone" in answer.body) == (200, True)
    assert len(registry.asked) == 2


def test_a_caller_is_told_that_too_many_read():
    """503 with Retry-After, as where the log does not answer."""
    told = Told("/v1/decisions/{id}", "GET", "/v1/decisions/d-1", "", 0.0)
    for error in (Overdue(), Crowded()):
        found = failed(SimpleNamespace(), error, told)
        assert (found.status_code, found.headers["retry-after"]) == (503, "1")
