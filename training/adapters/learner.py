"""One model's posterior, kept up with the decision log batch by batch, and any version of it again.

A batch is recorded with the number of the posterior that it makes, in one transaction, and published afterwards. Whoever is killed in between finds on the next
start that the log knows more than the snapshots, and goes on from there: the heads are a function of the model and the recorded answers in their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import torch
from sqlalchemy import Connection, Engine

from training.adapters import answers as log
from training.adapters import posterior_files as files
from training.adapters.kept_catalogs import kept_catalog
from training.adapters.log_engine import micros, reading
from training.adapters.log_tables import decision_table
from training.domain.catalog import Catalog
from training.domain.errors import DataError, NotReadyError
from training.domain.labels import WINDOWS
from training.domain.nouns import Label
from training.domain.served import Served
from training.model.matching import MatchingModel
from training.model.online import TOLD_BY, Answer, Encoded, Heads, Sight, due, learned, shown, teachable, teaches, trained_until
from training.model.threads import steady

MOST = 512
"""Rows that one batch takes from each place where it looks: a batch stays below a tenth of a second, so that nothing waits long for the next one."""
TOGETHER = 64
"""Batches whose decisions a rebuild reads at once."""


@dataclass(frozen=True)
class Learned:
    """One look at the log: answers taken in, decisions looked at, complaints about damaged ones; `more` where a limit cut it off."""

    posterior: int
    answers: int
    decisions: int
    damaged: tuple[str, ...]
    more: bool


class Learner:
    """The posterior of model `version`. One at a time for a log (`learner_lock`); not for several threads."""

    def __init__(self, version: str, sight: Sight, engine: Engine, folder: Path) -> None:
        """Take up what the log says was learned, and publish it. Raises as `rebuild` and `online.trained_until` do."""
        self.version, self.engine, self.folder = version, engine, folder
        self._sight = sight
        self._seen = trained_until(sight.model.manifest)
        self._stages = teachable(sight.model.heads)
        self.posterior = log.posterior_of(engine, version)
        files.discard(folder, version, self.posterior)
        self.heads = rebuild(sight, engine, folder, version, self.posterior)
        files.publish(folder, version, self.posterior, self.heads)
        self._reached = self._begin()

    def learn(self, now: datetime) -> Learned:
        """Take in what is due at `now` and was not yet: recorded first, then published. Call it again at once while there is `more`. What readers should find
        and do not, because somebody deleted it, is published again.

        Raises LogError where the log cannot be read or written, OSError where the snapshot cannot: then take a new Learner, which finds out what was recorded.
        """
        with reading(self.engine) as connection:
            found = self._look(connection, micros(now))
            ids = list(dict.fromkeys(chain.from_iterable(batch.ids for batch in found.values())))
            material, damaged = log.material(connection, self.version, ids)
        answers = [answer for each in material for answer in self._answers(each, now)]
        reached, more = {name: batch.reached for name, batch in found.items()}, any(batch.more for batch in found.values())
        if answers:
            heads = after(self.heads, self._sight, answers, Known.of(self._sight, [each.served for each in material], answers))
            log.keep(self.engine, self.version, self.posterior + 1, answers, reached)
            self.heads, self.posterior = heads, self.posterior + 1
            files.publish(self.folder, self.version, self.posterior, self.heads)
        elif not files.published(self.folder, self.version, self.posterior):
            files.publish(self.folder, self.version, self.posterior, self.heads)
        if more and not answers:  # otherwise a restart reads the little that was read in vain once more
            log.keep(self.engine, self.version, self.posterior, (), reached)
        self._reached = reached
        return Learned(self.posterior, len(answers), len(ids), tuple(damaged), more)

    def waiting_since(self) -> datetime | None:
        """When the oldest outcome was acknowledged that was not looked at yet."""
        with reading(self.engine) as connection:
            return log.oldest_waiting(connection, self._reached[self._name("outcomes")])

    def _answers(self, each: log.Material, now: datetime) -> Iterator[Answer]:
        if teaches(each.served):
            for stage, answer in due(self._stages, each.followed, now, self._seen, each.known).items():
                if stage not in each.known:
                    yield Answer(each.served.asked.decision_id, stage, answer)

    def _look(self, connection: Connection, now: int) -> dict[str, log.Batch]:
        """Whose outcomes came, whose windows have closed by `now`, and who came after their window had been looked at; by the cursor's name."""
        at = self._reached
        found = {self._name("outcomes"): log.answered(connection, at[self._name("outcomes")], MOST)}
        for label in TOLD_BY:
            until = now - micros_of(label)
            found[self._name(label)] = log.closed(connection, at[self._name(label)], until, MOST)
        latest = max(found[self._name(label)].reached for label in TOLD_BY)
        found[self._name("decisions")] = log.late(connection, at[self._name("decisions")], latest, MOST)
        return found

    def _begin(self) -> Mapping[str, int]:
        """Where reading starts: at the cursors, and without them where the first label was not mature when the model was trained."""
        seen, names = micros(self._seen), ["outcomes", "decisions", *TOLD_BY]
        with reading(self.engine) as connection:
            known = log.cursors(connection, [self._name(name) for name in names])
            if len(known) == len(names):
                return known
            begin = {self._name("decisions"): log.newest(connection, decision_table)}  # first, so that none comes between
            begin[self._name("outcomes")] = log.first_outcome(connection, seen - max(map(micros_of, TOLD_BY)))
        return begin | {self._name(label): seen - micros_of(label) for label in TOLD_BY}

    def _name(self, cursor: str) -> str:
        return f"{self.version} {cursor}"


def sight(model: MatchingModel, catalog: Catalog, engine: Engine) -> Sight:
    """phi of decisions of that log, each under the catalog that it notes; `catalog` is for those that note none.

    The process computes on one thread from here on, else a rebuild would add up in another order than the learner did.
    """
    steady()
    return Sight(model, catalog, partial(log.arm_features, engine), partial(kept_catalog, engine))


def rebuild(see: Sight, engine: Engine, folder: Path, version: str, posterior: int) -> Heads:
    """The heads of that version, bit by bit as they were published: from the nearest snapshot at or before it, else from the model.

    `see` must be of model `version`. Raises NotReadyError where the log no longer knows how that version came about.
    """
    reached, heads = _nearest(folder, version, posterior, see.model.heads)
    recorded = log.batches(engine, version, reached, posterior)
    while some := list(islice(recorded, TOGETHER)):
        answers = [answer for _, batch in some for answer in batch]
        known = Known.of(see, log.decisions(engine, named(answers)), answers)
        for number, batch in some:
            heads, reached = after(heads, see, batch, known), number
    if reached != posterior:
        raise NotReadyError(
            f"The log says how posterior {reached} of model {version} came about, but not {posterior}: it cannot be rebuilt. Restore the log from a backup."
        )
    return heads


class Known(NamedTuple):
    """Encoded decisions and where each one stands."""

    rows: Encoded
    place: Mapping[str, int]

    @classmethod
    def of(cls, see: Sight, decisions: Iterable[Served], answers: Sequence[Answer]) -> Known:
        """Those of `decisions` that `answers` name."""
        wanted = set(named(answers))
        some = [each for each in decisions if each.asked.decision_id in wanted]
        return cls(see.encode([shown(each) for each in some]), {each.asked.decision_id: i for i, each in enumerate(some)})


def named(answers: Sequence[Answer]) -> list[str]:
    """The decisions that are answered about, each once, in order."""
    return list(dict.fromkeys(answer.decision_id for answer in answers))


def after(heads: Heads, see: Sight, answers: Sequence[Answer], known: Known) -> Heads:
    """The heads after one batch. The towers see its decisions together, in the order in which the answers name them: that order is part of the bytes."""
    ids = named(answers)
    rows = {decision_id: i for i, decision_id in enumerate(ids)}
    phi = see.seen(known.rows.take(torch.tensor([known.place[decision_id] for decision_id in ids])))
    return learned(heads, phi, [(rows[answer.decision_id], answer.stage, answer.answer) for answer in answers])


def micros_of(label: Label) -> int:
    """How long a label's window stays open, microseconds."""
    closes = WINDOWS[label].closes
    return (closes.days * 86_400 + closes.seconds) * 1_000_000 + closes.microseconds


def _nearest(folder: Path, version: str, posterior: int, model: Heads) -> tuple[int, Heads]:
    for number in reversed([n for n in files.kept(folder, version) if n <= posterior]):
        try:
            return number, files.read(folder, version, number)
        except (DataError, NotReadyError):  # an older one, or the model, gives the same
            continue
    return 0, model
