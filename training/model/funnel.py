"""The funnel: what is learned about a label is learned step by step, and multiplied out again by the law of total probability.

P(converted) = P(clicked) P(converted | clicked) + (1 - P(clicked)) P(converted | not clicked), and likewise retained after visited. Nothing is assumed by
that; what it gains is answers. Whether an arm is clicked is known a day later and of many, what a click is worth depends little on the creative, and who
converts without a click depends little on the arm: each step has the few weights that the evidence leaves it, where one model of the product needs all of
them from its rare answers (Ma et al. 2018, "Entire Space Multi-Task Model", eq. 1). For retention the step before is a surrogate: whoever leaves is missed
long before the 28 days are over (Athey et al. 2019, "The Surrogate Index").
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from training.domain.nouns import Label

FEWEST = 20
"""A stage needs this many mature rows of each class; below that a head would be noise."""

Answers = npt.NDArray[np.float64]
"""Of each row 0, 1, or NaN where it is not known or not asked."""


class Stage(StrEnum):
    """One question that a head answers. A label that has no step before it, or too few answers for two, is one stage by itself, of the same name."""

    CLICKED = "clicked"
    CONVERTED = "converted"
    CONVERTED_IF_CLICKED = "converted_if_clicked"
    CONVERTED_UNLESS_CLICKED = "converted_unless_clicked"
    VISITED = "visited"
    RETAINED = "retained"
    RETAINED_IF_VISITED = "retained_if_visited"
    RETAINED_UNLESS_VISITED = "retained_unless_visited"
    OPTED_OUT = "opted_out"


class Split(NamedTuple):
    """A label in two stages: for rows where the `first` label happened, and for the others."""

    first: Label
    happened: Stage
    otherwise: Stage


SPLITS = {
    Label.CONVERTED: Split(Label.CLICKED, Stage.CONVERTED_IF_CLICKED, Stage.CONVERTED_UNLESS_CLICKED),
    Label.RETAINED: Split(Label.VISITED, Stage.RETAINED_IF_VISITED, Stage.RETAINED_UNLESS_VISITED),
}


SURROGATED = frozenset({Stage.RETAINED_IF_VISITED, Stage.RETAINED_UNLESS_VISITED})
"""Stages whose first step is a surrogate: that what is shown works through it alone is believed until it is refuted (Prentice 1989, "Surrogate endpoints
in clinical trials", criterion 4). One arm's retention is known within half a point at best, and policies would follow that noise."""


class Number(Protocol):
    """What arrays and tensors have in common."""

    def __mul__(self, other: Self, /) -> Self:
        """Product."""

    def __rsub__(self, other: float, /) -> Self:
        """Difference from a plain number."""

    def __add__(self, other: Self, /) -> Self:
        """Sum."""


T = TypeVar("T", bound=Number)


def trainable(answers: Answers) -> bool:
    """Whether there are FEWEST answers of each class."""
    return min(int((answers == 0.0).sum()), int((answers == 1.0).sum())) >= FEWEST


def stages(labels: Mapping[Label, Answers]) -> dict[Stage, Answers]:
    """The questions that `labels` [n] can teach, in the order of Stage; a label without enough answers is left out.

    A label is split where both its first step and its answers after that step are trainable. The other half may be too rare to train: see `rate`.
    """
    found: dict[Stage, Answers] = {}
    for label, answers in labels.items():
        split = SPLITS.get(label)
        if split and split.first in labels and trainable(labels[split.first]) and trainable(np.where(labels[split.first] == 1.0, answers, np.nan)):
            first = labels[split.first]
            found[split.happened] = np.where(first == 1.0, answers, np.nan)
            found[split.otherwise] = np.where(first == 0.0, answers, np.nan)
        elif trainable(answers):
            found[Stage(label.value)] = answers
    return {stage: found[stage] for stage in Stage if stage in found}


def rate(answers: Answers, before: float) -> tuple[float, float]:
    """Rate of a stage that is too rare to train, and how many answers it stands on; `before` is the rate of its label, which counts as one answer."""
    count = float((~np.isnan(answers)).sum()) + 1.0
    return (float(np.nansum(answers)) + before) / count, count


def chances(stage: Mapping[Stage, T]) -> dict[Label, T]:
    """P(label) from P(stage), for each label whose stages are all there."""
    found: dict[Label, T] = {}
    for label in Label:
        split = SPLITS.get(label)
        if Stage(label.value) in stage:
            found[label] = stage[Stage(label.value)]
        elif split and Stage(split.first.value) in stage and split.happened in stage:
            first = stage[Stage(split.first.value)]
            yes, no = first * stage[split.happened], 1.0 - first  # both new, so that what follows may write into them
            no *= stage[split.otherwise]
            yes += no
            found[label] = yes
    return found


def needed(label: Label, known: Mapping[Stage, object]) -> tuple[Stage, ...]:
    """The stages of `known` from which P(label) is made; none if it cannot be."""
    split = SPLITS.get(label)
    if Stage(label.value) in known:
        return (Stage(label.value),)
    if split and Stage(split.first.value) in known and split.happened in known:
        return (Stage(split.first.value), split.happened, split.otherwise)
    return ()


def asked(stage: Stage) -> tuple[Label, Label | None, bool]:
    """The label whose answer `stage` learns, and where it is asked: the label before it, and whether that must have happened."""
    for label, split in SPLITS.items():
        if stage in (split.happened, split.otherwise):
            return label, split.first, stage is split.happened
    return Label(stage.value), None, True
