"""What is expected of a creative by its sentences."""

from math import exp

import pytest
import torch

from training.model.expected import SAME, Expected, Texts, closeness, covariance, relative

EAST, NORTH = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
LOGS = torch.tensor([0.5, 0.8, 0.1], dtype=torch.float64).log()


def test_covariance_by_hand():
    """Two creatives of one product share a sentence and differ in one; a third of another product has one sentence that is at a right angle to both."""
    texts = Texts(torch.stack([EAST, EAST, EAST, NORTH, NORTH]), torch.tensor([0, 0, 1, 1, 2]), torch.tensor([1, 1, 2]))
    found = covariance(LOGS, closeness(texts, texts))
    away = exp(-1 / 0.8)
    assert found[0].tolist() == pytest.approx([0.5 * 4 + 2 * SAME, 0.5 * 2 * (1 + away) + 2 * SAME, 0.5 * 2 * away + SAME])
    assert torch.equal(found, found.T)
    assert covariance(LOGS, closeness(Texts(texts.sentences[:2], texts.owner[:2], texts.product[:1]), texts))[0].tolist() == found[0].tolist()


def one_known(effect):
    """Of one label: one creative of product 1 that says EAST, whose effect was measured with error 0.1."""
    own = covariance(LOGS, closeness(*[Texts(EAST[None], torch.tensor([0]), torch.tensor([1]))] * 2))[0, 0] + 0.1 + 0.1
    table = torch.zeros(1, 3, 2)
    return Expected(
        EAST[None], torch.tensor([0]), torch.tensor([1]), torch.zeros(3, 2), LOGS[None].float(), torch.tensor([[effect / float(own)]]),
        torch.tensor([[[1 / float(own)]]]), torch.tensor([[0.5, 0.25]]), torch.tensor([[0.0, 0.7]]), table + 0.2, table + 0.5,
    )  # fmt: skip


def test_a_text_like_a_known_one_is_expected_like_it():
    """By hand: the covariance with the known one over its variance; what says something else is expected less like it, and less surely."""
    expected = one_known(0.6)
    same, other = expected.of((1, 0, 1), EAST[None]), expected.of((1, 0, 1), NORTH[None])
    cross, own = 0.5 + 2 * SAME, 0.5 + 2 * SAME + 0.2
    assert float(same.offset[0]) == pytest.approx(0.2 + 0.6 * cross / own)
    assert float(same.scale[0]) == pytest.approx((own - 0.1 - cross**2 / own) ** 0.5 / 0.5, rel=1e-5)
    assert float(same.scale[1]) == 2.0
    assert 0.2 < float(other.offset[0]) < float(same.offset[0])
    assert float(other.scale[0]) > float(same.scale[0])


def test_a_known_creative_keeps_its_name():
    """On a new pair it has its own offset and the pair's, and no mark of a new creative."""
    found = one_known(0.6).of((1, 1, 1), EAST[None])
    assert float(found.offset[0]) == pytest.approx(0.9)
    assert found.scale.tolist() == [0.0, 2.0]


def test_one_scale_of_several_labels():
    """The root of the mean square."""
    assert float(relative(torch.tensor([0.3, 0.1]), torch.tensor([0.1, 0.1]))) == pytest.approx(5**0.5)
