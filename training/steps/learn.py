"""`learn`: what the decision log says since the last time becomes a posterior and recent features, where no service learns all the time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from training.adapters.learning import Learning
from training.adapters.ports import Platform
from training.config.settings import Settings


@dataclass(frozen=True)
class LearnReport:
    """`busy`: a learner is at work on this log already, so nothing was left to do. `posterior` is that of champion `model_version`, empty without one."""

    busy: bool
    model_version: str = ""
    posterior: int = 0
    answers: int = 0
    rows: int = 0
    damaged: int = 0


def run(day: date, settings: Settings, platform: Platform, clock: Callable[[], datetime] | None = None) -> LearnReport:
    """Take in everything that is due, whatever `day` the run stands for; a rerun finds nothing new. `clock` is by default the settings' own.

    Raises DataError or NotReadyError where the champion cannot be read, LogError where the log cannot.
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
        learning = Learning(settings, engine, platform.registry, Recent(engine, OnlineMembers(settings)))
        learning.champion(platform.registry.version("champion"))
        report = drained(learning, (lambda: now(settings.serving.clock, engine)) if clock is None else clock)
    print(f"Model {report.model_version or '(none)'}: {report.answers:,} answers, posterior {report.posterior}; {report.rows:,} members' rows renewed.")
    return report


def drained(learning: Learning, clock: Callable[[], datetime]) -> LearnReport:
    """Both duties until neither has anything left."""
    answers = damaged = rows = 0
    while (found := learning.learn(clock())) is not None:
        answers, damaged = answers + found.answers, damaged + len(found.damaged)
        print(*found.damaged, sep="\n", end="\n" if found.damaged else "")
        if not found.more:
            break
    written, more = learning.refresh(ask=True)
    rows += written
    while more:
        written, more = learning.refresh(ask=False)
        rows += written
    learner = learning.learner
    return LearnReport(
        busy=False,
        model_version=learner.version if learner else "",
        posterior=learner.posterior if learner else 0,
        answers=answers,
        rows=rows,
        damaged=damaged,
    )
