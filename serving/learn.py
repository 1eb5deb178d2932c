"""The learner: one process that turns what comes into the decision log into posteriors and recent features, some times a second. `python -m serving.learn`.

It loses nothing by being killed. Champion and challenger learn from all decisions, each by itself. What fails is said, and tried again a second later,
while the other duties go on.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from time import monotonic

from serving import learner_status
from serving.learner_status import Status
from serving.logs import hear, say
from training.adapters.clock import now
from training.adapters.learning import Learning, Roles
from training.config.serving import Clock
from training.config.settings import Settings, load_settings
from training.domain.aliases import CHAMPION
from training.domain.errors import NotReadyError

ASK_ROLES, ASK_MATERIALIZED, AGAIN, SAY = 0.5, 2.0, 1.0, 60.0
"""Seconds between two looks at who decides and at the materializations, after a failure, and between two lines about what was learned."""
STAND_AGAIN = 30.0
"""Seconds after a failure to publish what only stands still."""
BUSY = 3
"""Exit code where another learner is at work."""


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


@dataclass
class Duty:
    """Something that is done again and again; what fails in it is said, and tried again `again` seconds later, while all others go on."""

    name: str
    run: Callable[[float], bool]
    """Does it at that moment (monotonic seconds); returns whether there is more to do at once."""
    model_version: str = ""
    every: Every = field(default_factory=lambda: Every(0.0))
    again: float = AGAIN
    trouble: str = ""

    @property
    def told(self) -> dict[str, str]:
        """Its name as a line of the log says it."""
        return {"duty": self.name} | ({"model_version": self.model_version} if self.model_version else {})


class Loop:
    """All duties in turn. `who` says who decides, `clock` what time it is for the data, `say` writes one structured line."""

    def __init__(self, settings: Settings, learning: Learning, who: Callable[[], Roles], clock: Callable[[], datetime], say: Callable[..., None]) -> None:
        self._folder, self._learning, self._who, self._clock, self._say = settings.posterior, learning, who, clock, say
        self._materialized, self._summary = Every(ASK_MATERIALIZED), Every(SAY)
        self._ask, self._refresh = Duty("roles", self._roles, every=Every(ASK_ROLES)), Duty("refresh", self._some_rows)
        self._learn: dict[str, Duty] = {}
        self._stand: dict[str, Duty] = {}
        self._known = Roles()
        self._before = learner_status.read(self._folder)
        """What was said last while there was a champion, also by a process before this one."""
        self._told = 0
        self._calendar = settings.serving.clock
        self._oldest: dict[str, tuple[datetime, float]] = {}
        self.totals = Totals()

    def turn(self, at: float) -> bool:
        """One batch of each duty at `at` (monotonic seconds); returns whether there is more to do at once."""
        more = self._attempt(self._ask, at)
        for duty in self._duties():
            more |= self._attempt(duty, at)
        self._report(at)
        return more

    def _duties(self) -> list[Duty]:
        return [*self._learn.values(), *self._stand.values(), self._refresh]

    def _attempt(self, duty: Duty, at: float) -> bool:
        if not duty.every.due(at):
            return False
        try:
            more = duty.run(at)
        except Exception as error:  # noqa: BLE001 - whatever a store or a model raises, the other duties go on
            duty.every.put_off(at + duty.again)
            self._materialized = Every(ASK_MATERIALIZED)
            trouble = f"{type(error).__name__}: {error}"
            if trouble != duty.trouble:
                self._say("trouble", **duty.told, error=trouble)
            duty.trouble = trouble
            return False
        if duty.trouble:
            self._say("recovered", **duty.told)
            duty.trouble = ""
        return more

    def _roles(self, at: float) -> bool:
        """Who learns from here on; whoever did before and still does goes on."""
        del at
        roles = self._who()
        if roles != self._known:
            self._learning.take(roles)
            self._learn = {v: self._learn.get(v) or Duty("learn", partial(self._one_batch, v), v) for v in roles.learning()}
            self._stand = {v: Duty("stand", partial(self._stands, v), v, Every(ASK_ROLES), STAND_AGAIN) for v in roles.standing()}
            self._known = roles
        if self._missing:
            raise NotReadyError(
                f"Nobody is champion any more by the registry: workers go on deciding by version {self._missing}, and nobody learns from it. "
                f"Give the alias {CHAMPION!r} back in MLflow, or bring mlflow.db back."
            )
        return False

    @property
    def _missing(self) -> str:
        """The version that was champion last, where nobody is any more; empty where somebody is, or nobody ever was."""
        return self._before.model_version if self._before and not self._known.champion else ""

    def _one_batch(self, version: str, at: float) -> bool:
        del at
        new = version not in self._learning.learners
        found = self._learning.learn(version, self._clock())
        if new:
            self._say(self._known.learning()[version], model_version=version, posterior=found.posterior)
        for complaint in found.damaged:
            self._say("left_out", model_version=version, error=complaint)
        self.totals.answers += found.answers
        self.totals.decisions += found.decisions
        self.totals.damaged += len(found.damaged)
        return found.more

    def _stands(self, version: str, at: float) -> bool:
        del at
        self._learning.stand(version)
        return False

    def _some_rows(self, at: float) -> bool:
        rows, more = self._learning.refresh(ask=self._materialized.due(at))
        self.totals.rows += rows
        return more

    def _behind(self, version: str, since: datetime | None, at: float) -> float:
        """Seconds that the oldest outcome not looked at has waited. In a calendar of the data's own only what the loop saw of that is known."""
        if since is None:
            self._oldest.pop(version, None)
            return 0.0
        known = self._oldest.get(version)
        if known is None or known[0] != since:
            known = self._oldest[version] = (since, at)
        told = (self._clock() - since) / timedelta(seconds=1) if self._calendar is Clock.WALL else 0.0
        return max(told, at - known[1])

    def _status(self, at: float) -> Status:
        learners = self._learning.learners
        lags = [self._behind(version, learner.waiting_since(), at) for version, learner in learners.items()]
        champion = learners.get(self._known.champion or "")
        version, posterior = (champion.version, champion.posterior) if champion else (self._missing, self._before.posterior if self._before else 0)
        unknown = self._missing or self._known.learning().keys() - learners.keys()
        return Status(
            at=self._clock().isoformat(),
            model_version=version,
            posterior=posterior if version else 0,
            posteriors={version: learner.posterior for version, learner in learners.items()},
            lag_seconds=None if unknown else max(lags, default=0.0),
            waiting=self._learning.recent.waiting,
            trouble="; ".join(duty.trouble for duty in (self._ask, *self._duties()) if duty.trouble),
            **vars(self.totals),
        )

    def _report(self, at: float) -> None:
        try:
            status = self._status(at)
            self._before = status if status.model_version else self._before
            learner_status.write(self._folder, status)
        except Exception as error:  # noqa: BLE001 - the log or the disk; the duties find out by themselves
            self._say("trouble", duty="status", error=f"{type(error).__name__}: {error}")
            return
        if self.totals.answers > self._told and self._summary.due(monotonic()):
            self._say("learned", **{name: value for name, value in vars(status).items() if name != "at"})
            self._told = self.totals.answers


def run(settings: Settings, stop: threading.Event) -> int:
    """Learn until `stop`; 0 when it was stopped between two batches, BUSY where another learner is at work.

    Raises ConfigError or LogError without a log, LogError where the lock that lets one learner learn is lost.
    """
    from training.adapters.experiments import SqlExperiments
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
        who = partial(Roles.read, registry, SqlExperiments(settings.ledger_url))
        loop = Loop(settings, learning, who, partial(now, settings.serving.clock, engine), tell)
        keep_turning(loop, settings.serving.learn_every_ms / 1000, stop, mine.ask)
    tell("stopped", **vars(loop.totals))
    return 0


def keep_turning(loop: Loop, pause: float, stop: threading.Event, ask: Callable[[], None]) -> None:
    """Turns `pause` seconds apart, or at once while there is more to do, until `stop`, or until `ask` raises: it says whether the lock is still held."""
    while not stop.is_set():
        began = monotonic()
        ask()
        if not loop.turn(began):
            stop.wait(max(0.0, began + pause - monotonic()))


def main() -> int:
    """The process: ends between two batches on SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    hear()
    return run(load_settings(), stop)


if __name__ == "__main__":
    sys.exit(main())
