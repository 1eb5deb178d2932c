"""How far a new arm may lie from what its factors and its text say of it, learned from the arms that are known.

A new creative, or a new product x channel pair, differs from its prediction by an offset of its own in log odds: N(0, tau^2), tau^2 for each label. It
has a column of phi to itself, so draws explore it, and its first answers move that offset before they move what all arms share. tau^2 is a variance of
random effects by the method of moments (DerSimonian and Laird 1986): known creatives are scored as if they were new, known pairs without their recent
rates, and what is left of each beyond chance is its offset. The network has learned from them too, so degrees of freedom are taken off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch

from training.model.arms import NEWCOMERS
from training.model.funnel import Stage
from training.model.posterior import LaplaceLogistic
from training.model.rows import IMMATURE, Kinds, Rows, spans
from training.model.stacked import Stacked
from training.model.towers import Towers

BELIEF, WORTH = 0.3, 2.0
"""tau before any group is seen (a rate a third higher or a fourth lower), and as how many groups that belief counts."""

Heads = dict[Stage, LaplaceLogistic]


class Groups(NamedTuple):
    """Group of each kind of arm, int64 [arms] (0 = none), and in how many directions the network can fit all groups together."""

    of: torch.Tensor
    used: int


def with_newcomers(towers: Towers | Stacked, rows: Rows, heads: Mapping[Stage, LaplaceLogistic]) -> tuple[Heads, dict[Stage, tuple[float, float]]]:
    """The heads with a column for each newcomer, and tau of a new creative and of a new pair for each label."""
    creative = _spreads(towers, rows, rows.kinds.nameless(), heads, creatives(rows.kinds, towers.sizes.arm))
    pair = _spreads(towers, rows, rows.kinds, heads, pairs(rows.kinds))
    taus = {label: (creative[label], pair[label]) for label in heads}
    return {label: widened(head, taus[label]) for label, head in heads.items()}, taus


def widened(head: LaplaceLogistic, taus: tuple[float, float]) -> LaplaceLogistic:
    """The belief with NEWCOMERS columns for creatives, then as many for pairs: mean 0, deviation tau, independent of all others until they are shown."""
    precision = torch.tensor([tau**-2 for tau in taus], dtype=torch.float64).repeat_interleave(NEWCOMERS)
    known, size = len(head.mean), len(head.mean) + len(precision)
    mean, matrix = torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
    mean[:known], matrix[:known, :known] = head.mean, head.precision
    matrix.diagonal()[known:] = precision
    return LaplaceLogistic(mean, matrix)


def creatives(kinds: Kinds, most: int) -> Groups:
    """Groups by creative. Their texts span `used` directions, of which v keeps at most `most`; one more is the level."""
    code = kinds.factors[:, 1]
    texts = torch.stack([kinds.text[code == c][0] for c in torch.unique(code[code > 0])]) if (code > 0).any() else kinds.text[:0]
    rank = int(torch.linalg.matrix_rank(texts - texts.mean(dim=0))) if len(texts) else 0
    return Groups(code, 1 + min(most, rank))


def pairs(kinds: Kinds) -> Groups:
    """Groups by product x channel, which the network adds up from one part of each."""
    product, channel = kinds.factors[:, 0], kinds.factors[:, 2]
    code = torch.where((product > 0) & (channel > 0), product * (channel.max() + 1) + channel, 0)
    distinct, place = torch.unique(torch.cat([code.new_zeros(1), code]), return_inverse=True)
    seen = distinct[distinct > 0]
    parts = len(torch.unique(product[product > 0])) + len(torch.unique(channel[channel > 0])) - 1
    return Groups(place[1:], min(parts, len(seen)))


def spread(surprise: torch.Tensor, information: torch.Tensor, used: int) -> float:
    """tau from sum(y - p) and sum p (1 - p) of each group, both float64 [groups], `used` of whose directions were fitted.

    Q = sum S^2 / I has mean (groups + tau^2 sum I) if nothing was fitted; with BELIEF as WORTH more groups. Never 0.
    """
    seen = information > 0
    s, i = surprise[seen], information[seen]
    left = max(float((s * s / i).sum()) - len(s), 0.0) / max(float(i.sum()), 1e-12)
    return float(((len(s) * left + WORTH * BELIEF**2) / (max(len(s) - used, 0) + WORTH)) ** 0.5)


def _spreads(towers: Towers | Stacked, rows: Rows, kinds: Kinds, heads: Mapping[Stage, LaplaceLogistic], groups: Groups) -> dict[Stage, float]:
    """tau of `groups` for each label, when rows are scored as arms of `kinds` without recent rates."""
    size = int(groups.of.max()) + 1
    sums = {label: torch.zeros(2, size, dtype=torch.float64) for label in heads}
    with torch.no_grad():
        for span in spans(len(rows)):
            members, arms = rows.whole(span)
            arm = rows.arm[span].to(torch.int64)
            phi = towers(members, arms._replace(factors=kinds.factors[arm], rates=torch.zeros_like(arms.rates)))[:, : towers.sizes.phi]
            for i, label in enumerate(rows.names):
                mature = (rows.labels[span, i] != IMMATURE) & (groups.of[arm] > 0)
                p = torch.sigmoid(phi[mature] @ heads[label].mean.to(torch.float32)).to(torch.float64)
                parts = torch.stack([rows.labels[span, i][mature].to(torch.float64) - p, p * (1 - p)])
                sums[label].index_add_(1, groups.of[arm[mature]], parts)
    return {label: spread(total[0], total[1], groups.used) for label, total in sums.items()}
