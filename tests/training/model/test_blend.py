"""Blending models by what each predicted of answers that it had not seen."""

import pytest
import torch

from training.model.blend import Blend


def predicted(rows: int = 4_000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits of three models and the answers: the first knows half of the truth, the second the other half, the third is against it."""
    generator = torch.Generator().manual_seed(1)
    halves = torch.randn(rows, 2, generator=generator, dtype=torch.float64)
    truth = halves.sum(dim=1)
    answers = (torch.rand(rows, generator=generator, dtype=torch.float64) < torch.sigmoid(truth - 1)).to(torch.float64)
    return torch.cat([halves, -truth[:, None]], dim=1), answers


def test_it_finds_the_weights():
    """Both halves count fully; what is against the truth counts nothing, however it would help with the sign turned."""
    logits, answers = predicted()
    assert Blend.fit(logits[:, :2], answers).weights.tolist() == pytest.approx([1.0, 1.0], abs=0.15)
    weights = Blend.fit(logits, answers).weights
    assert weights.min() >= 0.0
    assert weights[2] == 0.0
    assert weights[:2].tolist() == pytest.approx([1.0, 1.0], abs=0.15)


def test_few_answers_leave_equal_shares():
    """One answer moves two weights little."""
    weights = Blend.fit(torch.tensor([[1.0, -1.0]], dtype=torch.float64), torch.ones(1)).weights
    assert weights.tolist() == pytest.approx([0.5, 0.5], abs=0.2)
    assert Blend.equal(4).weights.tolist() == [0.25] * 4


def test_utilities_by_hand():
    """Means and deviations add up with the weights; a draw of -1 stands one summed deviation below."""
    blend = Blend(torch.tensor([1.0, 2.0], dtype=torch.float64))
    mean, deviation = torch.tensor([[[1.0, 0.0]], [[0.5, 1.0]]]), torch.tensor([[[1.0, 0.0]], [[1.0, 0.5]]])
    found = blend.utilities(mean.double(), deviation.double(), torch.tensor([[[0.0, -1.0], [2.0, 1.0]]]).double())
    assert found.tolist() == [[[2.0, -1.0], [4.0, 3.0]]]


def test_models_that_are_all_wrong_share_alike():
    """With weights of 0 every arm would be worth the same, and the first one be played for whatever comes."""
    rng = torch.Generator().manual_seed(3)
    label = torch.randint(0, 2, (200,), generator=rng, dtype=torch.float64)
    against = (0.5 - label)[:, None] * torch.tensor([3.0, 5.0], dtype=torch.float64) + torch.randn(200, 2, generator=rng, dtype=torch.float64)
    assert Blend.fit(against, label).weights.tolist() == [0.5, 0.5]
