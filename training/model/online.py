"""Learning between two retrains: which answers follow from a decision and what came after it, and how the heads take them in.

A label is decided when its event has happened within its window (1), or when the window has closed without it (0): a click counts at once, "no click" only
when the window closes. An answer of a stage is due when its label and the label before it (`funnel.asked`) are decided and the stage is asked. A 0 stays a 0
for this model, also where an event of its window is told of later: the next retrain reads the corrected label.

The log of the service knows clicks, conversions and opt-outs. Whether a member visits or stays is told by activity, which only the warehouse has, so these
stages are left to retrains. What training has seen must not count twice: it reads the labels that were mature at the `as_of` of its training set, so an
answer all of whose labels were mature then is left out, also where the member was held out of training.

Every decision teaches, whoever took it and whether it showed something or not: a head is of what a member does under an arm, and how the arm came to be chosen
is no part of that. Only where the member's features were not there or too old does the log not say what the head would have to read, so that such a fallback
teaches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import torch

from training.domain.catalog import Catalog
from training.domain.errors import DataError
from training.domain.labels import WINDOWS
from training.domain.nouns import Context, Label, OutcomeKind
from training.domain.served import NOTED_CATALOG, Reason, Served
from training.model.arms import ArmBook, ArmEncoder, ArmRows
from training.model.encode import MemberRows
from training.model.funnel import Stage, asked
from training.model.matching import MatchingModel
from training.model.posterior import LaplaceLogistic

TOLD_BY = {Label.CLICKED: OutcomeKind.CLICK, Label.CONVERTED: OutcomeKind.CONVERSION, Label.OPTED_OUT: OutcomeKind.OPT_OUT}
"""The labels that the log of the service knows, and the outcome that makes each true."""

_NOTHING: Mapping[Stage, int] = {}

Heads = Mapping[Stage, LaplaceLogistic]
ArmFeatures = Mapping[str, Mapping[str, object]]
"""ARM_NUMERIC by arm id."""


class Answer(NamedTuple):
    """What one decision answers to the question of one stage: 0 or 1."""

    decision_id: str
    stage: Stage
    answer: int


@dataclass(frozen=True)
class Followed:
    """When a decision was taken and what followed it: kinds and instants of its outcomes."""

    decided_at: datetime
    outcomes: Sequence[tuple[OutcomeKind, datetime]] = ()


@dataclass(frozen=True)
class Shown:
    """What a head reads of a decision: the member's features as served, the circumstances, the arm, of which state the arms' features were, and the catalog."""

    features: Mapping[str, object]
    context: Context
    arm_id: str
    arms_version: str
    catalog: str = ""
    """Its version; empty where the decision is from before it was noted."""


def teachable(stages: Iterable[Stage]) -> tuple[Stage, ...]:
    """The stages whose labels the log knows, in the order of Stage."""
    found = set(stages)
    return tuple(stage for stage in Stage if stage in found and all(label in TOLD_BY for label in labels_of(stage)))


def labels_of(stage: Stage) -> tuple[Label, ...]:
    """The label that `stage` learns and the one before it, where there is one."""
    label, first, _ = asked(stage)
    return (label,) if first is None else (label, first)


def teaches(served: Served) -> bool:
    """Whether the log says what a head would read: the member's features were there, and not too old to decide on."""
    return bool(served.features) and served.reason is not Reason.STALE_FEATURES


def shown(served: Served) -> Shown:
    """What a head reads of `served`."""
    return Shown(served.features, served.asked.context, served.chosen_arm, served.arms_version, served.notes.get(NOTED_CATALOG, ""))


def trained_until(manifest: Mapping[str, Any]) -> datetime:
    """The instant as of which the labels of the model's training set were mature. Raises DataError where the manifest does not say it."""
    if "as_of" not in manifest:
        raise DataError(
            f"The model of run {manifest.get('run_id', '(unnamed)')} does not say as of when it was trained, so answers that it has seen could count twice. "
            "Train it again with this version (`train`)."
        )
    return datetime.fromisoformat(manifest["as_of"])


def decided(label: Label, followed: Followed, at: datetime) -> bool | None:
    """Whether `label` happened, as of `at`; None while nobody can know."""
    window = WINDOWS[label]
    opens, closes = followed.decided_at + window.opens, window.matured_at(followed.decided_at)
    if any(kind is TOLD_BY[label] and opens <= moment < closes for kind, moment in followed.outcomes):
        return True
    return False if closes <= at else None


def due(stages: Sequence[Stage], followed: Followed, at: datetime, seen: datetime, known: Mapping[Stage, int] = _NOTHING) -> dict[Stage, int]:
    """Of `stages` (see `teachable`) those that have an answer at `at`, in their order, without what a training as of `seen` has read.

    `known` is what the model has learned of this decision: where it says whether the label before happened, that stands, else one event would answer both
    questions that its split asks.
    """
    found = {}
    for stage in stages:
        label, first, happened = asked(stage)
        if all(WINDOWS[each].matured_at(followed.decided_at) <= seen for each in labels_of(stage)):
            continue
        answer = decided(label, followed, at)
        if answer is None or (first is not None and _stands(first, followed, at, known) is not happened):
            continue
        found[stage] = int(answer)
    return found


def _stands(label: Label, followed: Followed, at: datetime, known: Mapping[Stage, int]) -> bool | None:
    answer = known.get(Stage(label.value))
    return decided(label, followed, at) if answer is None else bool(answer)


class Encoded(NamedTuple):
    """Decisions as the towers take them."""

    members: MemberRows
    arms: ArmRows

    def take(self, rows: torch.Tensor) -> Encoded:
        """The given rows."""
        return Encoded(self.members.take(rows), self.arms.take(rows))


class _Shelf:
    """The arms under one catalog. One that it does not have is read as a retired one."""

    def __init__(self, encoder: ArmEncoder, catalog: Catalog, snapshots: Callable[[str], ArmFeatures]) -> None:
        self._encoder, self._catalog, self._snapshots = encoder, catalog, snapshots
        self._book = ArmBook.build(encoder, catalog, catalog.arms)
        self._rates: dict[str, torch.Tensor] = {}

    def rows(self, decisions: Sequence[Shown]) -> ArmRows:
        """The arm of each, [n]."""
        self._know(decisions)
        codes = torch.from_numpy(self._book.codes([d.arm_id for d in decisions]))
        rates = torch.stack([self._rates[d.arms_version][code] for d, code in zip(decisions, codes.tolist(), strict=True)])
        return self._book.rows(codes, rates)

    def _know(self, decisions: Sequence[Shown]) -> None:
        retired = {d.arm_id for d in decisions} - self._book.index.keys()
        if retired:
            self._book = ArmBook.build(self._encoder, self._catalog, {*self._book.ids, *retired})
            self._rates.clear()
        for version in {d.arms_version for d in decisions} - self._rates.keys():
            self._rates[version] = torch.from_numpy(self._encoder.rates(self._book.counts(self._snapshots(version))))


class Sight:
    """phi of decisions under one model, each under the catalog that it notes: `catalogs` gives that of a version. Where the decision notes none, or there is
    none of that version, it is `catalog`. `snapshots` gives the arms' features of a version. Either is asked once for each, features once a catalog.

    The rows of phi depend on which rows are computed together in their last bits: the same decisions in the same order give the same bytes.
    """

    def __init__(
        self, model: MatchingModel, catalog: Catalog, snapshots: Callable[[str], ArmFeatures], catalogs: Callable[[str], Catalog | None] = lambda _: None
    ) -> None:
        self.model = model
        self._catalog, self._snapshots, self._catalogs = catalog, snapshots, catalogs
        self._shelves: dict[str, _Shelf] = {}

    def phi(self, decisions: Sequence[Shown]) -> torch.Tensor:
        """For each decision phi of its member and arm, [n, d]; there is at least one. An arm that its catalog does not have is read as a retired one."""
        return self.seen(self.encode(decisions))

    def encode(self, decisions: Sequence[Shown]) -> Encoded:
        """The same decisions as rows, each by itself: any of them may be put together afterwards."""
        under: dict[str, list[int]] = {}
        for place, each in enumerate(decisions):
            under.setdefault(each.catalog, []).append(place)
        arms = [self._shelf(version).rows([decisions[place] for place in places]) for version, places in under.items()]
        members = self.model.members.several([d.features for d in decisions], [d.context for d in decisions])
        back = torch.tensor([place for places in under.values() for place in places]).argsort()
        return Encoded(members, ArmRows(*map(torch.cat, zip(*arms, strict=True))).take(back))

    def seen(self, rows: Encoded) -> torch.Tensor:
        """What the towers make of encoded rows, [n, d]."""
        with torch.no_grad():
            found: torch.Tensor = self.model.towers(rows.members, rows.arms)
        return found

    def _shelf(self, version: str) -> _Shelf:
        if version not in self._shelves:
            catalog = self._catalogs(version) if version else None
            self._shelves[version] = _Shelf(self.model.arms, catalog or self._catalog, self._snapshots)
        return self._shelves[version]


def learned(heads: Heads, phi: torch.Tensor, answers: Sequence[tuple[int, Stage, int]]) -> dict[Stage, LaplaceLogistic]:
    """The heads after each stage that is answered has learned; `answers` name a row of `phi` [n, d], a stage and 0 or 1.

    One update a batch: the order of batches matters to second order only, that within one not at all but for rounding. The same batches in the same order give
    the same bytes.
    """
    after = dict(heads)
    for stage, head in heads.items():
        mine = [(row, answer) for row, asked_stage, answer in answers if asked_stage is stage]
        if mine:
            rows, given = zip(*mine, strict=True)
            after[stage] = head.update(phi[list(rows)], torch.tensor(given, dtype=torch.float64))
    return after
