"""The fused network is the towers' mathematics: the same logits and the same gradients."""

import pytest
import torch
from torch.nn import functional

from training.model import fused
from training.model.flat import flatten
from training.model.fused import network
from training.model.towers import Sizes, Towers

COUNT = 60


@pytest.fixture
def rows(some_rows):
    """COUNT rows of seven kinds of arms."""
    return some_rows


@pytest.fixture
def net(rows):
    """A network for them, its head drawn at random so that every block matters."""
    made = network(Towers(Sizes(16, (2, 3, 4), (3, 3, 3), 5)), rows, torch.Generator().manual_seed(5))
    with torch.no_grad():
        made.head.weight.normal_(generator=torch.Generator().manual_seed(6))
    return made


def gradients(loss, net):
    """Gradient of each parameter by name."""
    return dict(zip((name for name, _ in net.named_parameters()), torch.autograd.grad(loss, list(net.parameters())), strict=True))


@pytest.mark.parametrize("most_words", [256, 0], ids=["words as a product", "words looked up"])
@pytest.mark.parametrize("count", [COUNT, 3], ids=["more rows than kinds", "fewer rows than kinds"])
def test_logits_and_gradients_are_those_of_the_towers(rows, net, monkeypatch, most_words, count):
    """Each way through, on many rows and on fewer than there are kinds of arms."""
    monkeypatch.setattr(fused, "MOST_WORDS", most_words)
    g, answers = torch.Generator().manual_seed(9), (rows.labels[:count] == 1).to(torch.float32)
    members, arms = rows.whole(slice(0, count))
    plain, quick = net.head(net.towers(members, arms)), net(rows.batch(torch.arange(count)), rows.kinds, rows.numbers)
    assert torch.allclose(plain, quick, atol=1e-5)
    mixed = torch.randn(plain.shape, generator=g)
    wanted = gradients((functional.binary_cross_entropy_with_logits(plain, answers, reduction="none") * mixed).sum(), net)
    found = gradients((functional.binary_cross_entropy_with_logits(quick, answers, reduction="none") * mixed).sum(), net)
    assert all(torch.allclose(wanted[name], found[name], atol=1e-4) for name in wanted)
    assert all(bool(gradient.abs().max() > 0) for gradient in found.values())


def test_a_hidden_creative_is_an_unknown_one(rows, net):
    """An arm of the second half of the kinds, against the towers on code 0."""
    members, arms = rows.whole(slice(0, COUNT))
    plain = net.head(net.towers(members, arms._replace(factors=arms.factors * torch.tensor([1, 0, 1]))))
    batch = rows.batch(torch.arange(COUNT))
    quick = net(batch._replace(arm=batch.arm.to(torch.int64) + len(rows.kinds.shown)), rows.kinds.twice(), rows.numbers)
    assert torch.allclose(plain, quick, atol=1e-5)


def test_the_heads_start_from_the_base_rates(rows):
    """Before training every row is given the share of true answers."""
    fresh = network(Towers(Sizes(16, (2, 3, 4), (3, 3, 3), 5)), rows, torch.Generator().manual_seed(5))
    assert torch.allclose(torch.sigmoid(fresh(rows.batch(torch.arange(COUNT)), rows.kinds, rows.numbers)), rows.base_rates.expand(COUNT, 2), atol=1e-6)


def test_flat_weights_are_the_weights(net):
    """Moving the vector moves the layers; a layer's gradient is a part of the vector's."""
    before = {name: p.detach().clone() for name, p in net.named_parameters()}
    flat, gradient = flatten(net)
    assert all(torch.equal(before[name], p) for name, p in net.named_parameters())
    flat.zero_()
    assert all(not p.any() for p in net.parameters())
    (net.head.weight.sum() * 3).backward()
    assert float(gradient.sum()) == 3 * net.head.weight.numel()
    assert flat.grad is gradient
