"""The learner: one process that turns what comes into the decision log into posteriors and recent features, some times a second. `python -m serving.learn`.

It loses nothing by being killed. What fails is said, and tried again a second later, while the other duty goes on.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Protocol

from serving import learner_status
from serving.learner_status import Status
from serving.logs import say
from training.adapters.clock import now
from training.adapters.learning import Learning
from training.config.serving import Clock
from training.config.settings import Settings, load_settings

ASK_CHAMPION, ASK_MATERIALIZED, AGAIN, SAY = 0.5, 2.0, 1.0, 60.0
"""Seconds between two looks at the champion's alias and at the materializations, after a failure, and between two lines about what was learned."""
BUSY = 3
"""Exit code where another learner is at work."""


class Registry(Protocol):
    """Which model is in charge."""

    def peek(self, alias: str) -> str | None:
        """Version behind `alias`."""


@dataclass
class Totals:
    """Since the process started."""

    answers: int = 0
    decisions: int = 0
    rows: int = 0
    damaged: int = 0


class Every:
    """True when it is asked again after so many seconds; `seconds` is on the clock that the caller reads."""

    def __init__(self, seconds: float) -> None:
        self._seconds, self._next = seconds, float("-inf")

    def due(self, at: float) -> bool:
        """Whether it is time; then the next time is `seconds` later."""
        if at < self._next:
            return False
        self._next = at + self._seconds
        return True

    def put_off(self, until: float) -> None:
        """Not before `until`."""
        self._next = max(self._next, until)


class Loop:
    """Both duties in turn. `clock` says what time it is for the data, `say` writes one structured line."""

    def __init__(self, settings: Settings, learning: Learning, registry: Registry, clock: Callable[[], datetime], say: Callable[..., None]) -> None:
        self._folder, self._learning, self._registry, self._clock, self._say = settings.posterior, learning, registry, clock, say
        self._champion, self._materialized, self._summary = Every(ASK_CHAMPION), Every(ASK_MATERIALIZED), Every(SAY)
        self._learn, self._refresh = Every(0.0), Every(0.0)
        self._trouble = {"learn": "", "refresh": ""}
        self._told = 0
        self._calendar = settings.serving.clock
        self._oldest: tuple[datetime, float] | None = None
        self.totals = Totals()

    def turn(self, at: float) -> bool:
        """One batch of each duty at `at` (monotonic seconds); returns whether there is more to do at once."""
        more = [self._attempt(name, duty, every, at) for name, duty, every in self._duties() if every.due(at)]
        self._report(at)
        return any(more)

    def _duties(self) -> tuple[tuple[str, Callable[[float], bool], Every], ...]:
        return ("learn", self._one_batch, self._learn), ("refresh", self._some_rows, self._refresh)

    def _attempt(self, name: str, duty: Callable[[float], bool], every: Every, at: float) -> bool:
        try:
            more = duty(at)
        except Exception as error:  # noqa: BLE001 - whatever a store or a model raises, the other duty goes on
            every.put_off(at + AGAIN)
            self._champion, self._materialized = Every(ASK_CHAMPION), Every(ASK_MATERIALIZED)  # asked again at once: the learner is gone
            trouble = f"{type(error).__name__}: {error}"
            if trouble != self._trouble[name]:
                self._say("trouble", duty=name, error=trouble)
            self._trouble[name] = trouble
            return False
        if self._trouble[name]:
            self._say("recovered", duty=name)
            self._trouble[name] = ""
        return more

    def _one_batch(self, at: float) -> bool:
        if self._champion.due(at) and self._learning.champion(self._registry.peek("champion")):
            learner = self._learning.learner
            self._say("champion", model_version=learner.version if learner else "", posterior=learner.posterior if learner else 0)
        found = self._learning.learn(self._clock())
        if found is None:
            return False
        for complaint in found.damaged:
            self._say("left_out", error=complaint)
        self.totals.answers += found.answers
        self.totals.decisions += found.decisions
        self.totals.damaged += len(found.damaged)
        return found.more

    def _some_rows(self, at: float) -> bool:
        rows, more = self._learning.refresh(ask=self._materialized.due(at))
        self.totals.rows += rows
        return more

    def _behind(self, since: datetime | None, at: float) -> float:
        """Seconds that the oldest outcome not looked at has waited. In a calendar of the data's own only what the loop saw of that is known."""
        if since is None:
            self._oldest = None
            return 0.0
        if self._oldest is None or self._oldest[0] != since:
            self._oldest = (since, at)
        told = (self._clock() - since) / timedelta(seconds=1) if self._calendar is Clock.WALL else 0.0
        return max(told, at - self._oldest[1])

    def _report(self, seconds: float) -> None:
        learner = self._learning.learner
        try:
            since = learner.waiting_since() if learner else None
            status = Status(
                at=self._clock().isoformat(),
                model_version=learner.version if learner else "",
                posterior=learner.posterior if learner else 0,
                lag_seconds=self._behind(since, seconds),
                waiting=self._learning.recent.waiting,
                trouble="; ".join(filter(None, self._trouble.values())),
                **vars(self.totals),
            )
            learner_status.write(self._folder, status)
        except Exception as error:  # noqa: BLE001 - the log or the disk; the duties find out by themselves
            self._say("trouble", duty="status", error=f"{type(error).__name__}: {error}")
            return
        if self.totals.answers > self._told and self._summary.due(monotonic()):
            self._say("learned", **{name: value for name, value in vars(status).items() if name != "at"})
            self._told = self.totals.answers


def run(settings: Settings, stop: threading.Event) -> int:
    """Learn until `stop`; 0 when it was stopped between two batches, BUSY where another learner is at work. Raises ConfigError or LogError without a log."""
    from training.adapters.feast_push import OnlineMembers
    from training.adapters.learner_lock import only_learner
    from training.adapters.log_engine import log_engine
    from training.adapters.recent import Recent
    from training.adapters.registry import MlflowRegistry
    from training.model.threads import steady

    steady()
    tell = partial(say, service="learner")
    engine, registry = log_engine(settings.log_url), MlflowRegistry(settings)
    with only_learner(engine, settings.posterior) as mine:
        if not mine:
            tell("busy", error=f"Another process learns from {engine.url.render_as_string()}: two would count a batch twice. Stop it first, or leave it.")
            return BUSY
        tell("started", log=engine.url.render_as_string())
        learning = Learning(settings, engine, registry, Recent(engine, OnlineMembers(settings)))
        loop = Loop(settings, learning, registry, partial(now, settings.serving.clock, engine), tell)
        keep_turning(loop, settings.serving.learn_every_ms / 1000, stop)
    tell("stopped", **vars(loop.totals))
    return 0


def keep_turning(loop: Loop, pause: float, stop: threading.Event) -> None:
    """Turns `pause` seconds apart, or at once while there is more to do, until `stop`."""
    while not stop.is_set():
        began = monotonic()
        if not loop.turn(began):
            stop.wait(max(0.0, began + pause - monotonic()))


def main() -> int:
    """The process: ends between two batches on SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return run(load_settings(), stop)


if __name__ == "__main__":
    sys.exit(main())
