"""New arms, learned from the arms that are known: what to expect of them (`expected`), and how far they may lie from it.

A creative or a product x channel that was never seen has a column of phi to itself with weight b ~ N(0, tau^2), tau for each label, so draws explore it,
and its first answers move b before they move what all arms share. Every training row is scored as if it had shown an average creative of its product, of
no name and without recent rates; what a creative adds to that is measured with an error 1 / sum p (1 - p), and so is what a pair adds to it besides. The
network takes no part in what is expected of a new creative: it has learned from the known ones, so what it leaves unexplained of them is too little.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from training.model import process
from training.model.arms import NEWCOMERS
from training.model.expected import Expected, Texts, closeness, covariance
from training.model.funnel import Stage
from training.model.known import UNSEEN, Measured, Net, Scored, averages, levels, measured, scored
from training.model.posterior import NEVER, LaplaceLogistic
from training.model.process import Process
from training.model.rows import IMMATURE, Rows
from training.model.stacked import Stacked
from training.model.towers import Towers

TEXT_BELIEF = ((-3.1, 1.5), (-1.0, 1.0), (-4.5, 1.5))
"""Mean and deviation of log amplitude (a sentence is worth 0.2), log length (cosines of 0.6 are near) and log own variance (0.1), before anything is seen."""
PAIR_BELIEF = ((-1.4, 1.0), (-4.0, 1.5))
"""The same of a product's or a channel's part (0.5), and of a pair's own variance (0.14)."""
LEVEL = 4.0
"""Prior variance of the level of all pairs."""
MOST = 512
"""Creatives that new ones are compared with; where there are more, the most often shown."""
LEAST = 1e-4
"""Variance that tau never falls below."""

Heads = dict[Stage, LaplaceLogistic]


def with_newcomers(towers: Towers | Stacked, rows: Rows, heads: Mapping[Stage, LaplaceLogistic], texts: Texts) -> tuple[Heads, Expected]:
    """The heads with columns for the labels' offsets and for each newcomer, and what to expect of new arms; `texts` are the known creatives' in order."""
    net, average = Net(towers, torch.stack([h.mean for h in heads.values()]).to(torch.float32)), averages(rows.kinds)
    with torch.no_grad():
        logits, said = scored(net, rows, average), levels(net, rows, average)
    few = _most_shown(rows, texts)
    found = [_of_label(rows, Scored(*(part[:, i] for part in logits)), (i, said[:, :, i]), (texts, few)) for i in range(len(heads))]
    expected = Expected(*few[1], average, **{name: torch.stack([one[name] for one in found]).to(torch.float32) for name in found[0]})
    columns = zip(heads.items(), expected.taus.tolist(), strict=True)
    return {label: widened(head, (creative, pair), (i, len(heads))) for i, ((label, head), (creative, pair)) in enumerate(columns)}, expected


def widened(head: LaplaceLogistic, taus: tuple[float, float], label: tuple[int, int]) -> LaplaceLogistic:
    """The belief with a column for each label's offset, of which it reads its own, (which, of how many), for certain and whole, and with NEWCOMERS columns
    for creatives, then as many for pairs: mean 0, deviation tau, independent of all others until they are shown.
    """
    which, labels = label
    tau = torch.tensor(taus, dtype=torch.float64).repeat_interleave(NEWCOMERS)
    precision = torch.cat([torch.full((labels,), NEVER, dtype=torch.float64), tau**-2])
    known, size = len(head.mean), len(head.mean) + len(precision)
    mean, matrix = torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
    mean[:known], matrix[:known, :known] = head.mean, head.precision
    mean[known + which] = 1.0
    matrix.diagonal()[known:] = precision
    return LaplaceLogistic(mean, matrix)


def _of_label(rows: Rows, scored: Scored, own: tuple[int, torch.Tensor], creatives: tuple[Texts, tuple[torch.Tensor, Texts]]) -> dict[str, torch.Tensor]:
    """The parts of `Expected` that belong to one label; `own` is its column and the network's levels [P + 1, K + 1]."""
    (label, levels), (texts, few) = own, creatives
    mature = rows.labels[:, label] != IMMATURE
    arm, answers = rows.arm[mature].to(torch.int64), rows.labels[mature, label].to(torch.float64)
    base, named = scored.average[mature].to(torch.float64), scored.named[mature].to(torch.float64)
    creative = rows.kinds.factors[arm, 1]
    found = measured(base, answers, creative, len(texts.product) + 1)
    learned, effect, tau = _texts(found, texts, few)
    said = measured(base, torch.sigmoid(named), creative, len(texts.product) + 1).offset
    shown = rows.kinds.shown[arm, 0] > 0
    place = (rows.kinds.factors[arm, 0] * levels.shape[1] + rows.kinds.factors[arm, 2])[shown]
    rest = measured((base + effect[creative])[shown], answers[shown], place, levels.numel())
    pair, deviation, pair_tau = _pairs(rest, levels)
    return {
        "scales": learned.scales,
        "weights": learned.weights,
        "inverse": learned.inverse,
        "taus": torch.tensor([tau, pair_tau], dtype=torch.float64),
        "known": effect - torch.cat([said.new_zeros(1), said[1:]]),
        "pair": pair,
        "deviation": deviation,
    }


def _texts(found: Measured, texts: Texts, few: tuple[torch.Tensor, Texts]) -> tuple[Process, torch.Tensor, float]:
    """The process of the creatives `few`, the effect [G + 1] of every known creative, first 0, and tau of a new one."""
    places, some = few
    seen = found.offset[1:][places], found.error[1:][places]
    near, own = closeness(some, some), torch.eye(len(places), dtype=torch.float64)
    learned = process.fit(lambda s: covariance(s, near) + own * s[2].exp(), *seen, TEXT_BELIEF)
    same = (torch.arange(len(texts.product))[:, None] == places).to(torch.float64)
    cross = covariance(learned.scales, closeness(texts, some)) + same * learned.scales[2].exp()
    return learned, torch.cat([found.offset.new_zeros(1), cross @ learned.weights]), learned.deviation(seen[1])


def _pairs(found: Measured, levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Offset and deviation of every product x channel [P + 1, K + 1], and tau of a pair, when `found` [(P + 1)(K + 1)] is what answers add to `levels`."""
    network = levels.to(torch.float64).flatten()
    product, channel = torch.arange(len(network)) // levels.shape[1], torch.arange(len(network)) % levels.shape[1]
    seen = torch.nonzero((found.error < UNSEEN) & (product > 0) & (channel > 0))[:, 0]
    centre = (network + found.offset)[seen].mean() if len(seen) else network.new_zeros(())

    def kernel(scales: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        parts = sum(((code[rows, None] == code[seen]) & (code[rows, None] > 0)).to(torch.float64) for code in (product, channel))
        return LEVEL + scales[0].exp() * parts + scales[1].exp() * (rows[:, None] == seen)

    error = found.error[seen]
    learned = process.fit(lambda scales: kernel(scales, seen), (network + found.offset)[seen] - centre, error, PAIR_BELIEF)
    everything = torch.arange(len(network))
    own = LEVEL + 2 * learned.scales[0].exp() + learned.scales[1].exp()
    mean, variance = learned.at(kernel(learned.scales, everything), own.expand(len(network)))
    shape = levels.shape
    return (mean + centre - network).reshape(shape), variance.clamp(min=LEAST).sqrt().reshape(shape), learned.deviation(error)


def _most_shown(rows: Rows, texts: Texts) -> tuple[torch.Tensor, Texts]:
    """Positions of MOST creatives at most, in order, and their texts."""
    shown = torch.zeros(len(texts.product) + 1).index_add(0, rows.kinds.factors[rows.arm.to(torch.int64), 1], torch.ones(len(rows)))[1:]
    places = torch.sort(torch.topk(shown, min(MOST, len(shown))).indices).values
    where = torch.full((len(shown),), -1, dtype=torch.int64)
    where[places] = torch.arange(len(places))
    kept = where[texts.owner] >= 0
    return places, Texts(texts.sentences[kept], where[texts.owner[kept]], texts.product[places])
