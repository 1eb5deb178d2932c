"""The posteriors of all labels on the frozen phi, corrected by what the members kept back say. phi is computed a chunk at a time, never whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

from training.domain.nouns import Label
from training.model.fused import Network
from training.model.optimise import Progress
from training.model.posterior import LaplaceLogistic, found
from training.model.recalibrate import UNCHANGED, Correction, fit_correction, levelled, parts
from training.model.rows import IMMATURE, Rows
from training.model.search import Search, likelihood
from training.model.towers import Towers

FEWEST = 20
"""A label needs this many mature rows of each class; below that a head would be noise."""
SAMPLE = 65_536
"""With more than four times as many rows, searches begin on an even sample of about this size: the first, long steps need no more."""
CHUNK = 8_192
"""Rows whose phi is held at once: it stays within the processor's cache."""


@dataclass(frozen=True)
class Task:
    """The search for the weights of the label in column `label`, from every row or from those of members not kept back."""

    label: int
    every: bool
    search: Search


def posteriors(towers: Towers, rows: Rows, smallest: float, progress: Progress) -> tuple[dict[Label, LaplaceLogistic], dict[str, Any]]:
    """The head of each label, and what was found about it, for the manifest. `smallest` is the least prior precision of a block of phi.

    The head of the other members is judged on those kept back; the head of all rows is corrected by that, then levelled to the label's base rate.
    """
    whole = [Search(float(rate), towers.sizes.blocks, smallest) for rate in rows.base_rates]
    others = {i: Search(_rate(rows, i), towers.sizes.blocks, smallest) for i in range(len(whole)) if _can_judge(rows, i)}
    tasks = [*(Task(i, every=True, search=s) for i, s in enumerate(whole)), *(Task(i, every=False, search=s) for i, s in others.items())]
    net = Network(towers, len(rows.names))
    with torch.no_grad():
        if len(rows) > 4 * SAMPLE:
            _search(net, rows, tasks, len(rows) // SAMPLE)
        _search(net, rows, tasks, 1)
        corrections = _corrections(net, rows, {i: found(search)[0] for i, search in others.items()})
        heads = [corrections[i].apply(found(search)[0], towers.sizes.base) for i, search in enumerate(whole)]
        logits = torch.cat([phi @ torch.stack([h.mean for h in heads]).to(torch.float32).T for _, phi in _phis(net, rows, 1)])
    levels, told = {}, {}
    for i, (label, head) in enumerate(zip(rows.names, heads, strict=True)):
        mature = rows.labels[:, i] != IMMATURE
        levels[label] = levelled(head, logits[mature, i], rows.labels[mature, i])
        correction = {name: round(value, 6) for name, value in asdict(corrections[i]).items()}
        told[label.value] = {"prior_precisions": [round(x, 6) for x in found(whole[i])[1]], "correction": correction}
        progress(f"posterior of {label.value}: {int(mature.sum()):,} mature rows; members kept back leave {corrections[i].effect:.0%} of its arm effects")
    return levels, told


def _search(net: Network, rows: Rows, tasks: list[Task], stride: int) -> None:
    """Passes over every `stride`-th row until every search stands still on them."""
    for task in tasks:
        task.search.again()
    while moving := [task for task in tasks if not task.search.still]:
        sums = [[torch.zeros(())] * 2 for _ in moving]
        for span, phi in _phis(net, rows, stride):
            labels, kept_back = rows.labels[span], rows.kept_back[span]
            for total, task in zip(sums, moving, strict=True):
                answers = labels[:, task.label]
                counts = (answers != IMMATURE) if task.every else (answers != IMMATURE) & ~kept_back
                slope, curvature = likelihood(phi, answers.to(torch.float32), counts.to(torch.float32), task.search.mean)
                total[0], total[1] = total[0] + slope, total[1] + curvature
        for (slope, curvature), task in zip(sums, moving, strict=True):
            task.search.learn(slope, curvature)


def _phis(net: Network, rows: Rows, stride: int) -> Iterator[tuple[slice, torch.Tensor]]:
    """phi of every `stride`-th row, CHUNK rows at a time, with where they stand."""
    for start in range(0, len(rows), CHUNK * stride):
        span = slice(start, min(start + CHUNK * stride, len(rows)), stride)
        yield span, net.phi(rows.batch(span), rows.kinds, rows.numbers)


def _corrections(net: Network, rows: Rows, heads: dict[int, LaplaceLogistic]) -> list[Correction]:
    """How the head of the other members must be corrected to fit those kept back; unchanged where they are too few to say."""
    judged = torch.nonzero(rows.kept_back)[:, 0]
    logits: dict[int, list[torch.Tensor]] = {i: [] for i in heads}
    for chunk in torch.split(judged, CHUNK) if heads else ():
        phi = net.phi(rows.batch(chunk), rows.kinds, rows.numbers)
        for i, head in heads.items():
            logits[i].append(parts(phi, head, net.towers.sizes.base))
    return [_correction(torch.cat(logits[i]), rows.labels[judged, i]) if i in heads else UNCHANGED for i in range(len(rows.names))]


def _correction(logits: torch.Tensor, labels: torch.Tensor) -> Correction:
    """The correction that the mature ones among these rows ask for."""
    mature = labels != IMMATURE
    return fit_correction(logits[mature], labels[mature].to(torch.float64))


def _can_judge(rows: Rows, label: int) -> bool:
    """Whether both the members kept back and the others have FEWEST rows of each class."""
    return all(int((rows.labels[rows.kept_back == kept, label] == answer).sum()) >= FEWEST for kept in (True, False) for answer in (0, 1))


def _rate(rows: Rows, label: int) -> float:
    """Mean of the mature labels of the members who were not kept back."""
    answers = rows.labels[~rows.kept_back, label]
    return float((answers == 1).sum() / (answers != IMMATURE).sum())
