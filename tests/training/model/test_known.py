"""What known arms say of new ones, on rows whose effects are known and with networks of a few numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.model import newcomers
from training.model.arms import ArmRows
from training.model.encode import MemberRows
from training.model.expected import Texts
from training.model.funnel import Stage
from training.model.known import Net, averages, levels, scored
from training.model.newcomers import with_newcomers
from training.model.posterior import LaplaceLogistic
from training.model.rows import Rows

FACTORS = torch.tensor([[1, 1, 1], [1, 2, 2], [1, 2, 1], [2, 3, 2], [2, 3, 1], [0, 0, 0]])
"""Product, creative and channel; the last is `none`."""
TEXT = torch.tensor([[0.5], [2.0], [2.0], [-1.0], [-1.0], [0.0]])
PLACES = ("product", "creative", "channel", "text", "shown", "member")


def rows_of(factors, text, numbers, clicked):
    """Whole rows, packed; recent rates that nothing here may look at."""
    n = len(factors)
    shown = (factors[:, :1] > 0).to(torch.float32)
    members = MemberRows(numbers, torch.zeros(n, 1, dtype=torch.int64), torch.zeros(n, 1))
    arms = ArmRows(factors, text, torch.full((n, 3), 9.0), shown)
    return Rows.of(members, arms, clicked[:, None].to(torch.float32), (Stage.CLICKED,), torch.zeros(n, dtype=torch.bool))


def linear(members, arms):
    """1, what PLACES names, and the recent rates."""
    parts = [torch.ones(len(arms.text), 1), arms.factors[:, :3].to(torch.float32), arms.text, arms.shown, members.numeric, arms.rates]
    return torch.cat(parts, dim=1)


def weighing(**weights):
    """A network of one head, by the names of PLACES; recent rates weigh much."""
    return Net(linear, torch.tensor([[-1.0, *(weights.get(name, 0.0) for name in PLACES), 5.0, 5.0, 5.0]]))


def small():
    """A row of each of FACTORS, of members who differ."""
    return rows_of(FACTORS, TEXT, torch.tensor([[0.0], [1.0], [-2.0], [0.5], [3.0], [1.0]]), torch.zeros(6))


def test_rows_are_scored_as_they_are_and_as_of_an_average_creative():
    """Without recent rates. The average one has no name, and the mean text of the product's creatives, each of which counts once; `none` has no text."""
    rows = small()
    found = scored(weighing(creative=0.3, text=2.0, member=0.1), rows, averages(rows.kinds))
    assert averages(rows.kinds).flatten().tolist() == [0.5, 1.25, -1.0]
    base = -1.0 + 0.1 * rows.dense[:, 0]
    assert torch.allclose(found.named[:, 0], base + 0.3 * FACTORS[:, 1] + 2.0 * TEXT[:, 0])
    assert torch.allclose(found.average[:, 0], base + 2.0 * torch.tensor([1.25, 1.25, 1.25, -1.0, -1.0, 0.0]))


def test_levels_are_log_odds_of_the_mean_chance_of_a_channels_rows():
    """By hand: of product p on channel k, over the members of channel k, or of all who were shown something; chances are averaged, not log odds."""
    rows = small()
    average = averages(rows.kinds)
    found = levels(weighing(product=0.2, channel=-0.4, creative=7.0, text=2.0, shown=0.5, member=1.0), rows, average)
    assert found.shape == (3, 3, 1)
    of_channel = {0: rows.dense[:5, 0], 1: rows.dense[[0, 2, 4], 0], 2: rows.dense[[1, 3], 0]}
    for channel, members in of_channel.items():
        for product in range(3):
            chance = torch.sigmoid(-1.0 + 0.2 * product - 0.4 * channel + 2.0 * average[product, 0] + 0.5 + members.to(torch.float64)).mean()
            assert float(found[product, channel, 0]) == pytest.approx(float(torch.logit(chance)), abs=1e-5)


def test_of_too_many_creatives_the_most_shown_are_kept(monkeypatch):
    """In their order, with their own sentences and products; how often `none` was shown says nothing."""
    monkeypatch.setattr(newcomers, "MOST", 2)
    times = {1: 2, 2: 5, 3: 1, 4: 4, 0: 9}
    creative = torch.tensor([c for c, n in times.items() for _ in range(n)])
    factors = torch.stack([(creative + 1) // 2, creative, (creative > 0).to(torch.int64)], dim=1)
    n = len(factors)
    rows = rows_of(factors, torch.zeros(n, 1), torch.zeros(n, 1), torch.zeros(n))
    texts = Texts(torch.arange(5.0)[:, None], torch.tensor([0, 1, 1, 2, 3]), torch.tensor([1, 1, 2, 2]))
    places, kept = newcomers._most_shown(rows, texts)
    assert places.tolist() == [1, 3]
    assert (kept.sentences.flatten().tolist(), kept.owner.tolist(), kept.product.tolist()) == ([1.0, 2.0, 4.0], [0, 0, 1], [1, 2])


def test_what_the_answers_say_of_creatives_and_pairs_is_found():
    """Four creatives of two products on three channels with known effects, of which the network says a part of one by its name: what is known of each is the
    effect less that part. What product and channel change together is found beside it, and answers that are not mature teach nothing.
    """
    rng, n = np.random.default_rng(5), 60_000
    creative, channel = rng.integers(0, 5, n), rng.integers(1, 4, n)
    product, shown = (creative + 1) // 2, creative > 0
    effect, pair = np.array([0.0, 0.8, 0.2, -0.6, -0.2]), np.where(channel == 3, 0.0, np.where(product == channel, 0.4, -0.4))
    clicked = (rng.random(n) < 1 / (1 + np.exp(1.0 - shown * (effect[creative] + pair)))).astype(float)
    immature = rng.random(n) < 0.2
    clicked[immature] = np.nan
    factors = torch.from_numpy(np.stack([product, creative, channel * shown], axis=1))
    rows = rows_of(factors, torch.zeros(n, 1), torch.zeros(n, 1), torch.from_numpy(clicked))
    head = LaplaceLogistic(torch.tensor([-1.0, 0.3], dtype=torch.float64), torch.eye(2, dtype=torch.float64))

    def towers(members, arms):
        return torch.cat([torch.ones(len(arms.text), 1), (arms.factors[:, 1:2] == 1).to(torch.float32)], dim=1)

    texts = Texts(torch.eye(4), torch.arange(4), torch.tensor([1, 1, 2, 2]))
    heads, expected = with_newcomers(towers, rows, {Stage.CLICKED: head}, texts)
    assert expected.known[0].tolist() == pytest.approx([0.0, 0.8 - 0.3, 0.2, -0.6, -0.2], abs=0.1)
    assert expected.pair[0, 1:, 1:].tolist() == [pytest.approx([0.4, -0.4, 0.0], abs=0.1), pytest.approx([-0.4, 0.4, 0.0], abs=0.1)]
    assert (expected.deviation[0, 1:, 1:] < 0.1).all()
    own = heads[Stage.CLICKED].precision.diagonal()[3:].rsqrt()
    assert own[[0, -1]].tolist() == pytest.approx(expected.taus[0].tolist(), rel=1e-5)
