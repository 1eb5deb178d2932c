"""`learn`: what the decision log says since the last time becomes a posterior and recent features, where no service learns all the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

from training.adapters.learning import Learning, Roles
from training.adapters.ports import Platform
from training.config.settings import Settings


@dataclass(frozen=True)
class LearnReport:
    """`busy`: a learner is at work on this log already, so nothing was left to do. `posterior` is that of champion `model_version`, empty without one;
    `posteriors` are those of all who learn, by version; the counts are over all of them.
    """

    busy: bool
    model_version: str = ""
    posterior: int = 0
    posteriors: Mapping[str, int] = field(default_factory=dict)
    answers: int = 0
    rows: int = 0
    damaged: int = 0


def run(day: date, settings: Settings, platform: Platform, clock: Callable[[], datetime] | None = None) -> LearnReport:
    """Take in everything that is due, whatever `day` the run stands for; a rerun finds nothing new. `clock` is by default the settings' own.

    Raises DataError or NotReadyError where a model cannot be read, after all others have learned; LogError where the log cannot.
    """
    from training.adapters.clock import now
    from training.adapters.feast_push import OnlineMembers
    from training.adapters.learner_lock import only_learner
    from training.adapters.log_engine import log_engine
    from training.adapters.recent import Recent
    from training.model.threads import steady

    del day
    steady()
    engine = log_engine(settings.log_url)
    with only_learner(engine, settings.posterior) as mine:
        if not mine:
            print("A learner is at work on this log already: nothing is left to do here.")
            return LearnReport(busy=True)

        def asked() -> datetime:
            mine.ask()  # before each batch
            return now(settings.serving.clock, engine) if clock is None else clock()

        learning = Learning(settings, engine, platform.registry, Recent(engine, OnlineMembers(settings)))
        report = drained(learning, Roles.read(platform.registry, platform.experiments), asked)
    print(f"Model {report.model_version or '(none)'}: {report.answers:,} answers, posterior {report.posterior}; {report.rows:,} members' rows renewed.")
    return report


def drained(learning: Learning, roles: Roles, clock: Callable[[], datetime]) -> LearnReport:
    """All duties until none has anything left. What one model raises is raised when all others are done."""
    learning.take(roles)
    answers, damaged, failed = 0, 0, list[Exception]()
    for version in roles.learning():
        try:
            found = all_of(learning, version, clock)
        except Exception as error:  # noqa: BLE001 - a model that cannot be read says nothing of the others
            failed.append(error)
            continue
        answers, damaged = answers + found[0], damaged + found[1]
    rows, more = learning.refresh(ask=True)
    while more:
        written, more = learning.refresh(ask=False)
        rows += written
    if failed:
        raise failed[0]
    posteriors = {version: learner.posterior for version, learner in learning.learners.items()}
    return LearnReport(False, roles.champion or "", posteriors.get(roles.champion or "", 0), posteriors, answers, rows, damaged)


def all_of(learning: Learning, version: str, clock: Callable[[], datetime]) -> tuple[int, int]:
    """One model's batches until nothing is due: answers taken in, and decisions left out as damaged, which are printed."""
    answers = damaged = 0
    while True:
        found = learning.learn(version, clock())
        answers, damaged = answers + found.answers, damaged + len(found.damaged)
        print(*found.damaged, sep="\n", end="\n" if found.damaged else "")
        if not found.more:
            return answers, damaged
