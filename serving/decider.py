"""Decisions in small batches: what waits is looked up, decided and made durable together, so that durability costs no sync a request."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty
from time import perf_counter
from typing import Protocol

from serving.decide import Question, World, decide, fallback, together
from serving.features import Found, Late, Lookup
from serving.line import Line, Waiting, answered
from serving.metrics import Metrics
from serving.patience import Overdue, Patience, gone
from serving.settling import Asking, Made, Settling, Unlogged
from serving.times import Times
from training.adapters.decision_log import DecisionLog
from training.adapters.log_sqlite import Locked
from training.domain.errors import LogError
from training.domain.served import UNNAMED, Asked, MemberState, Reason, Served

WAITING = 4_096
"""Most requests that wait; more are refused, since their callers would have gone by the time."""


class Busy(Exception):  # noqa: N818 - it is no error of ours
    """Too many requests wait already."""


class Source(Protocol):
    """Where the world of this moment comes from (`serving.champion.Watch`)."""

    @property
    def world(self) -> World:
        """As last seen."""


Done = Callable[[Served | Exception], None]
Coming = Callable[[Served], None]


class Decider:
    """`put` and `ask` from the event loop; what waits is taken together, `batch` at most, and answered once it is durable.

    Where log and online store are files of this machine's, the loop decides by itself what has come in one of its turns: a hand-over to a thread and back costs
    as much as a decision. It waits there for no disk, and some milliseconds for who else writes: what meets a lock for longer, or fails, goes to the thread
    that otherwise takes everything.
    """

    def __init__(self, log: DecisionLog, lookup: Lookup, source: Source, metrics: Metrics, draw: Callable[[], float], times: Times | None = None) -> None:
        self._log, self._lookup, self._source, self._metrics, self._draw = log, lookup, source, metrics, draw
        self._times = times
        self._turn = threading.Lock()
        """Held by who decides: models are for one thread at a time."""
        self._patience: Patience[Served] = Patience(source.world.serving.log_budget_ms / 1e3, metrics)
        self._come = deque[Asking]()
        self._later: deque[Asking] = deque()
        self._line: Line[Asked, Served] = Line("decider", self._run)
        self._settling = Settling(metrics, self._answer)
        self._loop: asyncio.AbstractEventLoop | None = None
        """Where decisions are taken on it."""

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Begin; `put` is called on `loop`."""
        self._loop = loop if self._log.local and self._lookup.local else None
        self._line.start(loop)
        self._settling.start(loop)
        self._patience.start(loop)

    def stop(self) -> None:
        """Answer what waits, then end the threads."""
        self._line.stop()
        self._settling.stop()
        self._patience.stop()

    @property
    def hangs(self) -> bool:
        """Whether the log has not answered within its budget: then nobody is let in until it does."""
        return self._patience.hangs

    async def ask(self, asked: Asked) -> Served:
        """The decision, once it is durable. Raises Busy where too many wait, Unlogged where it could not be kept, Overdue where nobody knows in time."""
        return await answered(partial(self.put, asked))

    def put(self, asked: Asked, done: Done, coming: Coming | None = None) -> None:
        """Let `done` be told what `ask` gives or raises, and `coming` before, where there is time (`line.Waiting`)."""
        if self._patience.hangs or len(self._patience) >= WAITING:
            done(Overdue() if self._patience.hangs else Busy())
            return
        one = Waiting(asked, self._patience.add(done), perf_counter(), coming)
        if self._loop is None:
            self._line.put(one)
            return
        self._come.append(one)
        if len(self._come) == 1:
            self._loop.call_soon(self._here)

    def _here(self) -> None:
        """Decide on the loop what has come since its last turn."""
        batch, self._come = self._distinct(self._come)
        if self._come and self._loop is not None:
            self._loop.call_soon(self._here)
        made = self._at_once(batch) if not (self._later or len(self._line) or self._log.slow) else None
        if made is None:
            for one in batch:
                self._line.put(one)
        else:
            self._settling.take(made)

    def _at_once(self, batch: Sequence[Asking]) -> Made | None:
        """None where that cannot be."""
        if not self._turn.acquire(blocking=False):
            return None
        try:
            begin = self._begun(batch)
            found = self._lookup.at_once([w.asked.member_id for w in batch])
            self._metrics.stage("features", perf_counter() - begin)
            return self._decided(batch, found, patient=False)
        except (Late, Locked):
            return None
        except Exception as error:  # noqa: BLE001 - the thread finds out of whom that is true, and answers the others
            self._metrics.trouble("batch", error)
            return None
        finally:
            self._turn.release()

    def _run(self) -> None:
        while batch := self._next():
            features = self._features(batch)
            if features is None:  # it took too long: another thread has answered, and takes what waits
                return
            self._take(batch, features)

    def _features(self, batch: Sequence[Asking]) -> Found | None:
        """Of each member. Where the store is late another thread goes on without them, and this one learns it from None."""
        begin = self._begun(batch)

        def go_on(found: Found) -> None:
            self._take(batch, found)
            self._run()

        found = self._lookup.members([w.asked.member_id for w in batch], lambda found: self._line.replace(lambda: go_on(found)))
        self._metrics.stage("features", perf_counter() - begin)
        return found

    def _begun(self, batch: Sequence[Asking]) -> float:
        begin = perf_counter()
        for w in batch:
            self._metrics.stage("queue", begin - w.since)
        return begin

    def _take(self, batch: Sequence[Asking], features: Found) -> None:
        """Serve them together; where one of them cannot be served, each by itself, so that it is the only one to know."""
        try:
            with self._turn:
                made = self._serve(batch, features)
            made.writing.settle()
        except Exception as error:  # noqa: BLE001 - whatever is raised, callers must be told, and the next batch served
            if len(batch) == 1 or isinstance(error, LogError):
                self._metrics.trouble("log", error)
                self._line.give((w, Unlogged(str(error))) for w in batch)
                return
            for one in batch:
                self._take([one], features)
        else:
            self._line.give(zip(made.batch, made.served, strict=True))
            self._answer(made)

    def _next(self) -> list[Asking]:
        """What waits, a member and a request once; empty at the end."""
        waiting, self._later = self._later, deque()
        if not waiting:
            one = self._line.next(block=True)
            if one is None:
                return []
            waiting.append(one)
        with suppress(Empty):
            while len(waiting) < WAITING and (one := self._line.next(block=False)) is not None:
                waiting.append(one)
        batch, self._later = self._distinct(self._wanted(waiting))
        return batch or self._next()

    def _wanted(self, waiting: deque[Asking]) -> deque[Asking]:
        """Those who were not refused meanwhile: a decision that nobody hears of would count against caps, and be learned from."""
        refused = [gone(one.done) for one in waiting]
        if not any(refused):
            return waiting
        self._line.give((one, Overdue()) for one, was in zip(waiting, refused, strict=True) if was)
        return deque(one for one, was in zip(waiting, refused, strict=True) if not was)

    def _distinct(self, waiting: deque[Asking]) -> tuple[list[Asking], deque[Asking]]:
        """Those of one batch, a member and a request once, and those of later ones."""
        if len(waiting) == 1:
            return list(waiting), deque()
        batch, later, taken, size = list[Asking](), deque[Asking](), set[str](), self._source.world.serving.batch
        while waiting and len(batch) < size and len(later) < size:
            one = waiting.popleft()
            names = {f"member {one.asked.member_id}", f"request {one.asked.request_id}"}
            if taken & names:
                later.append(one)
                continue
            taken |= names
            batch.append(one)
        later.extend(waiting)
        return batch, later

    def _serve(self, batch: Sequence[Asking], features: Found) -> Made:
        """Under the members' lock: their states, the decisions, and the commit."""
        try:
            return self._decided(batch, features)
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, LogError):
                raise
            self._metrics.trouble("state", error)  # unreadable is an answer here: nobody may be shown anything
        return self._unread(batch, features)

    def _decided(self, batch: Sequence[Asking], features: Found, *, patient: bool = True) -> Made:
        """By the world as it is once nobody is waited for any more: whoever held a lock may have held it for seconds, in which an arm was paused."""
        began, asked = perf_counter(), [w.asked for w in batch]
        with self._log.staged([a.member_id for a in asked], patient=patient) as staged:
            named = [a.request_id for a in asked if not a.request_id.startswith(UNNAMED)]
            known = staged.read([a.member_id for a in asked], named, min(a.at for a in asked))
            read = perf_counter()
            fresh, world = [a for a in asked if a.request_id not in known.earlier], self._source.world
            new = self._new(fresh, features, known.states, world)
            if staged.turn() and (now := self._source.world).paused != world.paused:
                new = self._new(fresh, features, known.states, now)  # all of them: whom to ask again must not depend on what was drawn
            made = perf_counter()
            stands = staged.append(new, known.earlier)
        for name, seconds in (("state", read - began), ("decide", made - read), ("log", perf_counter() - made)):
            self._metrics.stage(name, seconds)
        return Made(batch, _in_order(asked, [*new, *known.earlier.values(), *stands.values()]), staged)

    def _new(self, asked: Iterable[Asked], features: Found, states: Mapping[str, MemberState], world: World) -> list[Served]:
        """Decided together; where that fails, each by itself."""
        questions: list[Question] = [(a, features[a.member_id], states[a.member_id], world, self._draw()) for a in asked]
        try:
            return together(questions)
        except Exception:  # noqa: BLE001 - whatever a model raises; of whom, the next line finds out
            return [self._one(question) for question in questions]

    def _one(self, question: Question) -> Served:
        """Decided; where the champion fails on this member, as it may if it is damaged, the safe default, which keeps nothing that a learner would fail on."""
        try:
            return decide(*question)
        except Exception as error:  # noqa: BLE001 - as above
            asked, _, _, world, u = question
            self._metrics.trouble("champion", error, decision_id=asked.decision_id, trace_id=asked.trace_id)
            return fallback(asked, Reason.CHAMPION_FAILED, world, u)

    def _unread(self, batch: Sequence[Asking], features: Found) -> Made:
        """`none` for all, kept too. Raises what the log raises where even that cannot be written: then nothing was decided."""
        world = self._source.world
        new = [decide(w.asked, features[w.asked.member_id], None, world, self._draw()) for w in batch]
        with self._log.staged([w.asked.member_id for w in batch]) as staged:
            stands = staged.append(new)
        return Made(batch, [stands.get(s.asked.request_id, s) for s in new], staged)

    def _answer(self, made: Made) -> None:
        """Count what is durable; counting that fails ends nothing."""
        now = perf_counter()
        try:
            for w, s in zip(made.batch, made.served, strict=True):
                if s.asked.decision_id == w.asked.decision_id:  # not what stood already
                    self._metrics.decided(s)
                    if self._times:
                        self._times.count(s, now - w.since)
        except Exception as error:  # noqa: BLE001 - callers have their answer
            self._metrics.trouble("counting", error)


def _in_order(asked: Sequence[Asked], served: Iterable[Served]) -> list[Served]:
    """Of several that were made for one request the last one stands."""
    found = {s.asked.request_id: s for s in served}
    return [found[a.request_id] for a in asked]
