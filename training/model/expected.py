"""What is expected of an arm before anyone has answered it: how far its log odds lie from those of an average creative of its product, and how surely.

**Creatives.** effect = level + product + sum over its sentences g(sentence) + N(0, own): a Gaussian process (`process`) on sentences, so that a text of
known parts in a new combination is as near as its parts. Covariance of two creatives:

    k = 0.25 + 0.25 [same product] + amplitude sum_ij exp(-(1 - cos(sentence i, sentence j)) / length) + own [same creative]

**Pairs.** level of product x channel = product + channel + N(0, own), measured where it was seen.

amplitude, length and own are found for each label from the known arms. Means go into phi as an offset, deviations scale the newcomer's own column.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt
import torch

Floats = npt.NDArray[np.float32]

SAME = 0.25
"""Prior variance of the level, and of each product's level: half a log odd."""


class Texts(NamedTuple):
    """Sentences of some creatives: vectors [m, size], the creative of each, int64 [m], and each creative's product, int64 [g] (0 = unknown)."""

    sentences: torch.Tensor
    owner: torch.Tensor
    product: torch.Tensor


class Ahead(NamedTuple):
    """Of one arm: offset of each label in log odds [L]; deviations of creative and pair, as multiples of tau [2]."""

    offset: torch.Tensor
    scale: torch.Tensor


class Closeness(NamedTuple):
    """Of the creatives of two `Texts`: 1 - cosine of their sentences [m, o], the owners of these, and whether products are the same, 0 or 1 [g, h]."""

    distance: torch.Tensor
    owners: tuple[torch.Tensor, torch.Tensor]
    same: torch.Tensor


def closeness(one: Texts, other: Texts) -> Closeness:
    """How near the creatives of `one` are to those of `other`."""
    distance = (1 - one.sentences.to(torch.float64) @ other.sentences.to(torch.float64).T).clamp(min=0.0)
    return Closeness(distance, (one.owner, other.owner), (one.product[:, None] == other.product[None, :]).to(torch.float64))


def covariance(scales: torch.Tensor, near: Closeness) -> torch.Tensor:
    """k without `own`, [g, h], from the logs of (amplitude, length, own); float64."""
    (g, h), (one, other) = near.same.shape, near.owners
    pairs = scales[0].exp() * torch.exp(-near.distance / scales[1].exp())
    rows = pairs.new_zeros(g, len(other)).index_add(0, one, pairs)
    return rows.new_zeros(h, g).index_add(0, other, rows.T).T + SAME * (1 + near.same)


@dataclass(frozen=True, eq=False)
class Expected:
    """Everything that was learned, float32 and int64 tensors that `saving` keeps; P products, K channels and G creatives are known, 0 is the unknown.

    `average` [P + 1, size] is the mean text of each product's creatives, `scales` [L, 3], `weights` [L, G] and `inverse` [L, G, G] the processes, `taus`
    [L, 2] the units of creatives and pairs, `known` [L, G + 1] the offset of a known creative from what the network says of it by name, `pair` and
    `deviation` [L, P + 1, K + 1] offset and deviation of each product x channel.
    """

    sentences: torch.Tensor
    owner: torch.Tensor
    product: torch.Tensor
    average: torch.Tensor
    scales: torch.Tensor
    weights: torch.Tensor
    inverse: torch.Tensor
    taus: torch.Tensor
    known: torch.Tensor
    pair: torch.Tensor
    deviation: torch.Tensor
    _memo: dict[tuple[tuple[int, ...], bytes], Floats] = field(default_factory=dict, init=False, repr=False)

    def tensors(self) -> dict[str, torch.Tensor]:
        """By name, for `saving`."""
        return {f.name: getattr(self, f.name).contiguous() for f in fields(self) if not f.name.startswith("_")}

    @classmethod
    def restore(cls, tensors: Mapping[str, torch.Tensor]) -> Self:
        """What `tensors()` gave."""
        return cls(**tensors)

    @property
    def columns(self) -> int:
        """Length of an `Ahead`, laid out in a row."""
        return len(self.taus) + 2

    def row(self, factors: tuple[int, int, int], sentences: Floats) -> Floats:
        """As `of`, laid out in a row of `columns`; calculated once an arm."""
        key = factors, b"" if factors[1] else sentences.tobytes()
        if key not in self._memo:
            self._memo[key] = torch.cat(self.of(factors, torch.from_numpy(sentences))).numpy()
        return self._memo[key]

    def of(self, factors: tuple[int, int, int], sentences: torch.Tensor) -> Ahead:
        """What is expected of the arm of `factors` (product, creative, channel; 0 = unknown), whose creative says `sentences` [m, size]."""
        product, creative, channel = factors
        offset = self.pair[:, product, channel]
        pair = relative(self.deviation[:, product, channel], self.taus[:, 1])
        if creative:
            return Ahead(offset + self.known[:, creative], torch.stack([torch.zeros(()), pair]))
        mean, deviation = self._creative(product, sentences)
        return Ahead(offset + mean, torch.stack([relative(deviation, self.taus[:, 0]), pair]))

    def _creative(self, product: int, sentences: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and deviation [L] of a creative that was never seen."""
        new = Texts(sentences, torch.zeros(len(sentences), dtype=torch.int64), torch.tensor([product]))
        to, within, found = closeness(new, Texts(self.sentences, self.owner, self.product)), closeness(new, new), []
        for scales, weights, inverse in zip(self.scales.to(torch.float64), self.weights.to(torch.float64), self.inverse.to(torch.float64), strict=True):
            cross, own = covariance(scales, to)[0], covariance(scales, within)[0, 0] + scales[2].exp()
            found.append(torch.stack([cross @ weights, (own - cross @ inverse @ cross).clamp(min=1e-6).sqrt()]))
        mean, deviation = torch.stack(found, dim=1).to(torch.float32)
        return mean, deviation


def relative(deviation: torch.Tensor, taus: torch.Tensor) -> torch.Tensor:
    """One scale for all labels, which share a newcomer's column: the root of the mean square of deviation / tau, both [L]."""
    return ((deviation / taus) ** 2).mean().sqrt()
