"""What a word about the member changes of what a creative, or a channel, is worth: feature crosses that the answers ask for beyond what the heads say.

logit = head + sum over the member's words w of C[creative, w] + K[channel, w]. The weights of C are drawn from one normal distribution a column of words
(country, seniority, ...), likewise those of K: varying slopes (Gelman and Hill 2007, "Data analysis using regression and multilevel models", chapter 13).
The precision of each is set by the evidence (MacKay 1992, lambda = gamma / |m|^2), so a column of words that changes nothing is switched off, and a creative
that was seldom shown stays near what the head says of it. Given K the creatives are independent of each other, and given C the channels: each is a problem
of as many weights as there are words, and one for all members, whatever the size of the catalog.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from training.model.funnel import SURROGATED, Stage
from training.model.rows import IMMATURE, Rows, narrow, spans
from training.model.search import LARGEST_PRECISION

BELIEF = 30.0
"""Precision before anything is seen: a word changes log odds by 0.18."""
WORTH = 3.0
"""Nats of evidence that a column of words must bring to be used: the best of many precisions brings some by luck."""
ROUNDS, UPDATES = 12, 20
"""Passes over the rows at most, in each of which creatives and then channels learn; updates of mean and precision on what one pass found."""
STILL = 0.01
"""Log odds less than which no weight moved in the last pass."""
FARTHEST = 1.0
"""Log odds that a pass moves a weight by at most: where nearly all answers agree Newton's step leads far away."""
CHUNK = 8_192
"""Rows that are looked at together: nothing that is as long as the training set is made beside its logits but the order of its rows."""
CREATIVE, CHANNEL = 1, 2
"""Places of the two among an arm's factors."""


class Crosses(NamedTuple):
    """Log odds of each label by word, `creative` [L, G + 1, W] and `channel` [L, K + 1, W], float32; the unknown creative and channel, 0, add nothing.

    W are the words of all columns one after the other, each column's unknown word first (`places`): who did not say where they work are some too.
    """

    creative: torch.Tensor
    channel: torch.Tensor

    @classmethod
    def none(cls, labels: int, factors: tuple[int, int, int], vocabularies: Sequence[int]) -> Crosses:
        """Crosses that change nothing."""
        words = sum(size + 1 for size in vocabularies)
        return cls(torch.zeros(labels, factors[CREATIVE] + 1, words), torch.zeros(labels, factors[CHANNEL] + 1, words))

    def of(self, factors: torch.Tensor) -> torch.Tensor:
        """What the words change of each arm of `factors` [n, 3 or more], [n, L, W]."""
        return (self.creative[:, factors[:, CREATIVE]] + self.channel[:, factors[:, CHANNEL]]).transpose(0, 1)


def places(vocabularies: Sequence[int]) -> torch.Tensor:
    """Where each column's unknown word stands among all words; its known words follow it."""
    return torch.tensor([0, *(size + 1 for size in vocabularies)][: len(vocabularies)], dtype=torch.int64).cumsum(0)


def fit(rows: Rows, logits: torch.Tensor, factors: tuple[int, int, int], vocabularies: Sequence[int]) -> Crosses:
    """From what the heads say of the training rows, `logits` [n, L]. Stages that a surrogate stands before are left alone: see `funnel.SURROGATED`."""
    asked = [i for i, name in enumerate(rows.names) if name not in SURROGATED]
    sides = [_Side(rows, asked, place, factors[place], vocabularies) for place in (CREATIVE, CHANNEL)]
    for _ in range(ROUNDS):
        for side in sides:
            side.learn(logits, Crosses(*(one.table(whole=True) for one in sides)))
        if all(side.moved < STILL for side in sides):
            break
    return Crosses(*(side.table(whole=False) for side in sides))


def add(crosses: Crosses, rows: Rows, vocabularies: Sequence[int], logits: torch.Tensor) -> torch.Tensor:
    """The `logits` [n, L] of the rows with what the crosses add; they are changed in place."""
    at = places(vocabularies)
    for span in spans(len(rows), CHUNK):
        logits[span] += _added(crosses, rows, at, span)
    return logits


def _added(crosses: Crosses, rows: Rows, at: torch.Tensor, which: slice | torch.Tensor) -> torch.Tensor:
    """What the crosses add to the logits of the rows at `which`, float32 [n, L]."""
    factors, words = rows.kinds.factors[rows.arm[which].to(torch.int64)], at + rows.codes[which].to(torch.int64)
    each = [table[:, factors[:, place, None], words].sum(dim=2) for place, table in zip((CREATIVE, CHANNEL), crosses, strict=True)]
    return (each[0] + each[1]).T


def described(found: Crosses, names: Sequence[Stage], words: Sequence[str], vocabularies: Sequence[int]) -> dict[str, dict[str, dict[str, float]]]:
    """By stage, of creative and channel, the root mean square of what each column of `words` that tells members apart changes, for the manifest."""
    told: dict[str, dict[str, dict[str, float]]] = {}
    cuts = [size + 1 for size in vocabularies]
    for name, *tables in zip(names, *found, strict=True):
        told[name.value] = {}
        for side, table in zip(("creative", "channel"), tables, strict=True):
            parts = [part[1:] - part[1:].mean(dim=1, keepdim=True) for part in torch.split(table, cuts, dim=1)]
            size = {word: round(float((part**2).mean().sqrt()), 4) for word, part in zip(words, parts, strict=True)}
            told[name.value][side] = {word: value for word, value in size.items() if value}
    return told


class _Side:
    """Creatives or channels: `mean` [L, count + 1, W + 1] and `precisions` [L, columns + 1], float64, of the labels in the columns `asked`; the last is the
    weight for all members, so that no column of words has to stand for it.
    """

    def __init__(self, rows: Rows, asked: list[int], place: int, count: int, vocabularies: Sequence[int]) -> None:
        self.rows, self.asked, self.at = rows, asked, places(vocabularies)
        self.column = torch.cat([torch.full((size + 1,), i) for i, size in enumerate((*vocabularies, 0))])
        code = narrow(rows.kinds.factors[:, place])[rows.arm.to(torch.int64)]
        self.order = torch.argsort(code, stable=True).to(torch.int32)
        self.ends = torch.bincount(code, minlength=count + 1).cumsum(0).tolist()
        self.mean = torch.zeros(len(asked), count + 1, len(self.column), dtype=torch.float64)
        self.precisions = torch.full((len(asked), len(vocabularies) + 1), BELIEF, dtype=torch.float64)
        self.gain, self.moved = torch.zeros_like(self.precisions), float("inf")

    def table(self, *, whole: bool) -> torch.Tensor:
        """The mean of all labels, float32 [all labels, count + 1, W]; unless `whole`, 0 where a column of words brings too little. Everyone has one word of
        the first column, so what is for all members is added to those.
        """
        kept = self.mean * ((self.gain > WORTH) | whole)[:, self.column][:, None, :]
        kept[..., :-1] += kept[..., -1:] * (self.column[:-1] == 0)
        found = torch.zeros(self.rows.labels.shape[1], kept.shape[1], kept.shape[2] - 1)
        found[self.asked] = kept[..., :-1].to(torch.float32)
        return found

    def learn(self, logits: torch.Tensor, now: Crosses) -> None:
        """One pass over the rows, to whose `logits` the crosses add what they are `now`; then the mean and the precisions that are most probable on that."""
        slope, curvature = self._sums(logits, now)
        start, target = self.mean, slope + (curvature @ self.mean[..., None])[..., 0]
        for update in range(UPDATES + 1):
            prior = self.precisions[:, self.column]
            total = curvature + torch.diag_embed(prior[:, None, :].expand_as(slope))
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(total))
            self.mean = (inverse @ target[..., None])[..., 0]
            if update == UPDATES:
                break
            determined = (1 - prior[:, None, :] * torch.diagonal(inverse, dim1=-2, dim2=-1)).clamp(min=0.0)
            by_column = torch.zeros_like(self.precisions)
            gamma = by_column.index_add(1, self.column, determined.sum(dim=1)).clamp(min=1e-6)
            square = by_column.index_add(1, self.column, (self.mean**2).sum(dim=1)).clamp(min=1e-12)
            self.precisions = (gamma / square).clamp(1.0, LARGEST_PRECISION)
        self.mean = start + (self.mean - start).clamp(-FARTHEST, FARTHEST)
        self.moved = float((self.mean - start).abs().max())
        self.gain = self._gain(slope - (curvature @ (self.mean - start)[..., None])[..., 0], torch.diagonal(curvature, dim1=-2, dim2=-1))

    def _gain(self, slope: torch.Tensor, curvature: torch.Tensor) -> torch.Tensor:
        """Log evidence of each column [L, columns] over that without it, weight by weight, the other columns as they are."""
        prior = self.precisions[:, self.column][:, None, :]
        alone, total = slope + curvature * self.mean, curvature + prior
        nats = 0.5 * (alone**2 / total + (prior / total).log())
        return torch.zeros_like(self.precisions).index_add(1, self.column, nats.sum(dim=1))

    def _sums(self, logits: torch.Tensor, now: Crosses) -> tuple[torch.Tensor, torch.Tensor]:
        """Slope [L, count + 1, W + 1] and curvature [L, count + 1, W + 1, W + 1] of the log likelihood, float64."""
        slope, curvature = torch.zeros_like(self.mean), torch.zeros(*self.mean.shape, self.mean.shape[2], dtype=torch.float64)
        for g, (begin, end) in enumerate(zip(self.ends, self.ends[1:], strict=False), start=1):
            for span in spans(end - begin, CHUNK):
                some = self.order[begin:end][span].to(torch.int64)
                words = torch.zeros(len(some), len(self.column)).scatter_(1, self.at + self.rows.codes[some].to(torch.int64), 1.0)
                words[:, -1] = 1.0
                p = torch.sigmoid(logits[some] + _added(now, self.rows, self.at, some))[:, self.asked]
                answers = self.rows.labels[some][:, self.asked]
                mature = (answers != IMMATURE).to(torch.float32)
                slope[:, g] += (((answers.to(torch.float32) - p) * mature).T @ words).to(torch.float64)
                weight = p * (1 - p) * mature
                for i in range(len(self.asked)):
                    curvature[i, g] += (words.T @ (words * weight[:, i, None])).to(torch.float64)
        return slope, curvature
