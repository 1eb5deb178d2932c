"""Overconfident logits are found and corrected, part by part; honest ones are left alone."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from training.model.posterior import LaplaceLogistic
from training.model.recalibrate import Correction, corrected, fit_correction, levelled, parts

ROWS = 40_000


def answers(logits: torch.Tensor) -> torch.Tensor:
    """0/1 drawn with these logits."""
    return (torch.rand(len(logits), generator=torch.Generator().manual_seed(3), dtype=torch.float64) < torch.sigmoid(logits)).to(torch.float64)


@pytest.fixture(name="said")
def _said() -> torch.Tensor:
    """What a head says: constant -1, a member part and an arm part of deviation 1."""
    noise = torch.randn(ROWS, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.cat([torch.full((ROWS, 1), -1.0, dtype=torch.float64), noise], dim=1)


@pytest.mark.parametrize(("member", "arm", "shift"), [(1.0, 1.0, 0.0), (0.3, 1.0, 0.0), (0.5, 0.2, 0.4)])
def test_the_true_slopes_are_found(said, member, arm, shift):
    """Answers that follow a flatter line than the head said."""
    found = fit_correction(said, answers(said @ torch.tensor([1.0, member, arm], dtype=torch.float64) + shift))
    assert (found.unprompted, found.effect) == pytest.approx((member, arm), abs=0.05)


def test_slopes_stay_between_none_and_all(said):
    """A head that was too timid is not made bolder, one that was wrong is silenced and not turned round."""
    found = fit_correction(said, answers(said @ torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)))
    assert (found.unprompted, found.effect) == (1.0, 0.0)


def test_few_rows_change_little(said):
    """Ten rows that contradict the head cannot outweigh the belief that it is right."""
    found = fit_correction(said[:10], (said[:10].sum(dim=1) < 0).to(torch.float64))
    assert fit_correction(said, (said.sum(dim=1) < 0).to(torch.float64)).effect == 0.0
    assert found.effect > 0.2


def test_a_corrected_head_says_the_corrected_logits():
    """By hand: base columns 1 and u, then one effect column; 0.5 + 0.2 - 1 becomes 0.5 + 0.5 x 0.2 - 0.25 x 1."""
    head = LaplaceLogistic(torch.tensor([0.5, 0.1, -1.0], dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    phi = torch.tensor([[1.0, 2.0, 1.0]])
    assert parts(phi, head, 2)[0].tolist() == pytest.approx([0.5, 0.2, -1.0])
    corrected = Correction(unprompted=0.5, effect=0.25).apply(head, 2)
    assert float(phi.to(torch.float64) @ corrected.mean) == pytest.approx(0.5 + 0.5 * 0.2 - 0.25)
    assert corrected.precision is head.precision


def test_what_is_left_of_the_loss_is_that_of_the_true_chances(said):
    """Answers follow half of the member part, a fifth of the arm part and a higher level: each row's loss is near that of the chances they were drawn by."""
    truth = said @ torch.tensor([1.0, 0.5, 0.2], dtype=torch.float64) + 0.4
    found, rest = corrected(said, answers(truth))
    assert (found.unprompted, found.effect) == pytest.approx((0.5, 0.2), abs=0.05)
    assert torch.allclose(rest, binary_cross_entropy_with_logits(truth, answers(truth), reduction="none"), atol=0.15)


def test_a_levelled_head_predicts_the_base_rate():
    """One of four rows is true: the constant moves until the mean prediction is 1/4, nothing else moves."""
    head = LaplaceLogistic(torch.tensor([2.0, 0.7], dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    phi = torch.tensor([[1.0, -1.0], [1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])
    found = levelled(head, phi @ head.mean.to(torch.float32), torch.tensor([0.0, 0.0, 1.0, 0.0]))
    assert float(torch.sigmoid(phi.to(torch.float64) @ found.mean).mean()) == pytest.approx(0.25, abs=1e-6)
    assert float(found.mean[1]) == 0.7
