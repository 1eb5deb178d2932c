"""Decisions in small batches: what waits is looked up, decided and made durable together, so that durability costs no sync a request."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import Empty
from time import perf_counter
from typing import Protocol

from serving.decide import Features, World, decide, fallback
from serving.features import Found, Lookup
from serving.line import Line, Waiting
from serving.metrics import Metrics
from serving.times import Times
from training.adapters.decision_log import DecisionLog
from training.domain.errors import LogError
from training.domain.served import UNNAMED, Asked, MemberState, Reason, Served

WAITING = 4_096
"""Most requests that wait; more are refused, since their callers would have gone by the time."""


class Busy(Exception):  # noqa: N818 - it is no error of ours
    """Too many requests wait already."""


class Unlogged(Exception):  # noqa: N818 - it says what happened
    """The log could not be written, so nothing was decided."""


class Source(Protocol):
    """Where the world of this moment comes from (`serving.champion.Watch`)."""

    @property
    def world(self) -> World:
        """As last seen."""


Asking = Waiting[Asked, Served]


class Decider:
    """`ask` from the event loop; a thread takes what waits, `batch` at most, and answers once it is durable."""

    def __init__(self, log: DecisionLog, lookup: Lookup, source: Source, metrics: Metrics, draw: Callable[[], float], times: Times | None = None) -> None:
        self._log, self._lookup, self._source, self._metrics, self._draw = log, lookup, source, metrics, draw
        self._times = times
        self._later: deque[Asking] = deque()
        self._line: Line[Asked, Served] = Line("decider", self._run)
        self.start, self.stop = self._line.start, self._line.stop

    async def ask(self, asked: Asked) -> Served:
        """The decision, once it is durable. Raises Busy where too many wait, Unlogged where it could not be kept."""
        if len(self._line) + len(self._later) >= WAITING:
            raise Busy
        return await self._line.ask(asked)

    def _run(self) -> None:
        while batch := self._next():
            features = self._features(batch)
            if features is None:  # it took too long: another thread has answered, and takes what waits
                return
            self._take(batch, features)

    def _features(self, batch: Sequence[Asking]) -> Found | None:
        """Of each member. Where the store is late another thread goes on without them, and this one learns it from None."""
        begin = perf_counter()
        for w in batch:
            self._metrics.stage("queue", begin - w.since)

        def go_on(found: Found) -> None:
            self._take(batch, found)
            self._run()

        found = self._lookup.members([w.asked.member_id for w in batch], lambda found: self._line.replace(lambda: go_on(found)))
        self._metrics.stage("features", perf_counter() - begin)
        return found

    def _take(self, batch: Sequence[Asking], features: Found) -> None:
        """Serve them together; where one of them cannot be served, each by itself, so that it is the only one to know."""
        try:
            served = self._serve([w.asked for w in batch], features)
        except Exception as error:  # noqa: BLE001 - whatever is raised, callers must be told, and the next batch served
            if len(batch) == 1 or isinstance(error, LogError):
                self._refuse(batch, error)
                return
            for one in batch:
                self._take([one], features)
        else:
            self._answer(batch, served)

    def _next(self) -> list[Asking]:
        """What waits, a member and a request once; empty at the end."""
        batch: list[Asking] = []
        taken: set[str] = set()
        waiting, self._later = self._later, deque()
        size = self._source.world.serving.batch
        while len(batch) < size:
            if waiting:
                one: Asking | None = waiting.popleft()
            else:
                try:
                    one = self._line.next(block=not batch)
                except Empty:
                    break
            if one is None:
                break
            names = {f"member {one.asked.member_id}", f"request {one.asked.request_id}"}
            if taken & names:
                self._later.append(one)
                continue
            taken |= names
            batch.append(one)
        self._later.extend(waiting)
        return batch

    def _serve(self, asked: Sequence[Asked], features: Found) -> list[Served]:
        """Under the members' lock: their states, the decisions, and the commit."""
        world = self._source.world
        try:
            return self._decided(asked, features, world)
        except Exception as error:
            if len(asked) > 1 and not isinstance(error, LogError):
                raise
            self._metrics.trouble("state", error)  # unreadable is an answer here: nobody may be shown anything
        return self._unread(asked, features, world)

    def _decided(self, asked: Sequence[Asked], features: Found, world: World) -> list[Served]:
        began = perf_counter()
        with self._log.writing([a.member_id for a in asked]) as writing:
            named = [a.request_id for a in asked if not a.request_id.startswith(UNNAMED)]
            known = writing.read([a.member_id for a in asked], named, min(a.at for a in asked))
            read = perf_counter()
            new = [self._one(a, features[a.member_id], known.states[a.member_id], world) for a in asked if a.request_id not in known.earlier]
            made = perf_counter()
            stands = writing.append(new, known.earlier)
        for name, seconds in (("state", read - began), ("decide", made - read), ("log", perf_counter() - made)):
            self._metrics.stage(name, seconds)
        return _in_order(asked, [*new, *known.earlier.values(), *stands.values()])

    def _one(self, asked: Asked, features: Features | Reason, state: MemberState, world: World) -> Served:
        """Decided; where the champion fails on this member, as it may if it is damaged, the safe default, which keeps nothing that a learner would fail on."""
        u = self._draw()
        try:
            return decide(asked, features, state, world, u)
        except Exception as error:  # noqa: BLE001 - whatever a model raises
            self._metrics.trouble("champion", error, decision_id=asked.decision_id, trace_id=asked.trace_id)
            return fallback(asked, Reason.CHAMPION_FAILED, world, u)

    def _unread(self, asked: Sequence[Asked], features: Found, world: World) -> list[Served]:
        """`none` for all, kept too. Raises what the log raises where even that cannot be written: then nothing was decided."""
        new = [decide(a, features[a.member_id], None, world, self._draw()) for a in asked]
        with self._log.writing([a.member_id for a in asked]) as writing:
            stands = writing.append(new)
        return [stands.get(s.asked.request_id, s) for s in new]

    def _answer(self, batch: Sequence[Asking], served: Sequence[Served]) -> None:
        now = perf_counter()
        for w, s in zip(batch, served, strict=True):
            if s.asked.decision_id == w.asked.decision_id:  # not what stood already
                self._metrics.decided(s)
                if self._times:
                    self._times.count(s, now - w.since)
        self._line.give(zip(batch, served, strict=True))

    def _refuse(self, batch: Sequence[Asking], error: Exception) -> None:
        self._metrics.trouble("log", error)
        self._line.give((w, Unlogged(str(error))) for w in batch)


def _in_order(asked: Sequence[Asked], served: Iterable[Served]) -> list[Served]:
    """Of several that were made for one request the last one stands."""
    found = {s.asked.request_id: s for s in served}
    return [found[a.request_id] for a in asked]
