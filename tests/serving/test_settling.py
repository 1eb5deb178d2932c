"""From committed to answered: by the kernel or by the thread, and never with the loop waiting for a sync."""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import replace

import pytest
from prometheus_client import CollectorRegistry

from serving import settling as module
from serving.line import Waiting
from serving.metrics import Metrics
from serving.settling import Made, Settling, Unlogged
from tests.fakes.logs import served
from tests.serving.test_decider import until


class Staged:
    """Committed; settled when the test lets it."""

    def __init__(self, settle=lambda: None, *, begins=True):
        self.settle, self._begins, self.done = settle, begins, None

    def begin(self, kernel, done):
        """Of `decision_log.Writing`."""
        assert kernel is not None
        self.done = done
        return self._begins


def batch(told, staged, *numbers):
    """Decisions that were made together; `told` is what those who asked have heard."""
    return Made([Waiting(served(i).asked, told.append, 0.0) for i in numbers], [served(i) for i in numbers], staged)


def names(*numbers):
    """Decision ids."""
    return [served(i).asked.decision_id for i in numbers]


def heard(told):
    """The same of what was told."""
    return [answer if isinstance(answer, Unlogged) else answer.asked.decision_id for answer in told]


class Kernel:
    """Has nothing to do: `Staged` says when a sync ends."""

    open = 0

    def __init__(self, loop):
        self.loop = loop
        Kernel.open += 1

    def close(self):
        """Of `KernelSync`."""
        Kernel.open -= 1


@pytest.fixture
def kernels(monkeypatch):
    """Runs a test of `settling` and `told` on a loop whose syncs are the kernel's, and stops it."""
    monkeypatch.setattr(module, "KernelSync", Kernel)
    monkeypatch.setattr(Kernel, "open", 0)

    def on_loop(test, told):
        async def run():
            settling = Settling(Metrics(CollectorRegistry()), lambda _: None)
            settling.start(asyncio.get_running_loop())
            test(settling, told)
            await asyncio.to_thread(settling.stop)
            assert Kernel.open == 0

        asyncio.run(asyncio.wait_for(run(), 120))

    return on_loop


def test_a_disk_that_hangs_stops_no_loop(kernels):
    """`take` returns, also for one decision alone; what was committed meanwhile goes with one next sync, and all are answered in order."""

    def test(settling, told):
        first, second, third = Staged(), Staged(), Staged()
        settling.take(batch(told, first, 1))
        settling.take(batch(told, second, 2, 3))
        settling.take(batch(told, third, 4))
        assert (told, second.done, third.done) == ([], None, None)
        first.done(None)
        assert heard(told) == names(1)
        assert second.done is None  # the sync of the last one does for it
        third.done(None)
        assert heard(told) == names(1, 2, 3, 4)

    kernels(test, [])


def test_an_answer_is_made_ready_while_the_disk_syncs_and_given_after(kernels):
    """Whoever asked hears what is coming before it is durable, and the answer itself only then."""
    coming, staged = [], Staged()

    def test(settling, told):
        made = batch(told, staged, 1, 2)
        settling.take(made._replace(batch=[replace(one, coming=coming.append) for one in made.batch]))
        assert [s.asked.decision_id for s in coming] == names(1, 2)
        assert not told
        staged.done(None)
        assert heard(told) == names(1, 2)

    kernels(test, [])


def test_a_sync_that_the_kernel_could_not_do_is_told_and_the_next_ones_are_waited_for(kernels):
    """Whoever asked is refused. What follows a failure is settled by who may move the log, until the kernel may go on."""
    told, settled = [], []

    def test(settling, told):
        first, last = Staged(), Staged(lambda: settled.append(threading.current_thread().name), begins=False)
        settling.take(batch(told, first, 1))
        settling.take(batch(told, last, 2))
        first.done(OSError("Input/output error"))
        assert [str(one) for one in told] == ["Input/output error"]

    kernels(test, told)
    assert settled == ["settling"]
    assert heard(told)[1:] == names(2)


def test_the_kernel_goes_on_after_a_sync_and_after_what_it_had_to_leave(kernels):
    """One that ends with nothing waiting is not its last; what a thread had to settle is followed by the kernel's again once that has been answered."""
    told = []

    async def run():
        settling = Settling(Metrics(CollectorRegistry()), lambda _: None)
        settling.start(asyncio.get_running_loop())
        for number, left in ((1, False), (2, False), (3, True), (4, False), (5, False)):
            staged = Staged(begins=not left)
            settling.take(batch(told, staged, number))
            assert staged.done is not None
            if not left:
                staged.done(None)
            await until(lambda number=number: len(told) == number)
            assert heard(told) == names(*range(1, number + 1))
        await asyncio.to_thread(settling.stop)

    asyncio.run(asyncio.wait_for(run(), 120))


def test_what_is_under_way_is_answered_by_a_stop_on_the_loop_itself(tmp_path):
    """Nobody else could hear of the sync's end: the stop waits for it."""
    file, told = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT), []

    class Synced(Staged):
        def begin(self, kernel, done):
            kernel.sync(file, done)
            return True

    async def run():
        settling = Settling(Metrics(CollectorRegistry()), lambda _: None)
        settling.start(asyncio.get_running_loop())
        os.write(file, bytes(100_000))
        for number in (1, 2):
            settling.take(batch(told, Synced(), number))
        settling.stop()

    try:
        asyncio.run(asyncio.wait_for(run(), 60))
    finally:
        os.close(file)
    assert heard(told) == names(1, 2)


def test_what_is_under_way_is_answered_on_the_loop_before_a_stop_from_another_thread_ends(tmp_path):
    """As the service stops: many times, since the end of a sync and the stop race."""
    file = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)

    class Synced(Staged):
        def begin(self, kernel, done):
            kernel.sync(file, done)
            return True

    async def run():
        settling, told, threads = Settling(Metrics(CollectorRegistry()), lambda _: threads.append(threading.get_ident())), [], []
        settling.start(asyncio.get_running_loop())
        for i in (1, 2):
            os.write(file, bytes(100_000))
            settling.take(batch(told, Synced(), i))
        await asyncio.to_thread(settling.stop)
        assert heard(told) == names(1, 2)
        assert set(threads) == {threading.get_ident()}

    try:
        for _ in range(50):
            asyncio.run(asyncio.wait_for(run(), 60))
    finally:
        os.close(file)


def test_where_no_kernel_syncs_a_thread_does_and_the_loop_waits_for_none(monkeypatch):
    """`take` returns while the thread is at it, also for one decision alone; all are answered on the loop, in order."""

    def none(_):
        raise ImportError("no Linux")

    monkeypatch.setattr(module, "KernelSync", none)
    gate, threads = threading.Event(), []

    def settle():
        threads.append(threading.current_thread().name)
        assert gate.wait(60)

    async def run():
        all_of_them, told = asyncio.Event(), []
        settling = Settling(Metrics(CollectorRegistry()), lambda _: all_of_them.set() if len(told) == 4 else None)
        settling.start(asyncio.get_running_loop())
        for numbers in ((1,), (2, 3), (4,)):
            settling.take(batch(told, Staged(settle), *numbers))
        assert told == []
        gate.set()
        await all_of_them.wait()
        settling.stop()
        return heard(told)

    assert asyncio.run(asyncio.wait_for(run(), 120)) == names(1, 2, 3, 4)
    assert set(threads) == {"settling"}
