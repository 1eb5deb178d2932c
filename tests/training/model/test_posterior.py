"""The Laplace posterior, by hand in two dimensions and against its own batch form."""

import pytest
import torch
from scipy.optimize import brentq
from scipy.special import expit

from training.model.posterior import NEVER, LaplaceLogistic, deviations, fit

TWO = LaplaceLogistic(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))


def logged(rows: int, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """phi with a constant and two columns, labels from the true weights (-1, 2, 0), and these weights."""
    generator = torch.Generator().manual_seed(seed)
    phi = torch.cat([torch.ones(rows, 1), torch.randn(rows, 2, generator=generator)], dim=1)
    truth = torch.tensor([-1.0, 2.0, 0.0])
    return phi, (torch.rand(rows, generator=generator) < torch.sigmoid(phi @ truth)).float(), truth


def test_update_by_hand():
    """A row (2, 0) that answered 1 moves the weights along (2, 0) until w = 2 (1 - p) with p = sigmoid(2 w); H = I + p (1 - p) (2, 0)(2, 0)'."""
    after = TWO.update(torch.tensor([[2.0, 0.0]]), torch.tensor([1.0]))
    w = brentq(lambda w: w - 2 * expit(-2 * w), 0, 1)
    assert after.mean.tolist() == pytest.approx([w, 0.0], abs=1e-4)
    assert torch.allclose(after.precision, torch.diag(torch.tensor([1 + 4 * expit(2 * w) * expit(-2 * w), 1.0], dtype=torch.float64)), atol=1e-2)


def test_a_small_update_is_one_newton_step():
    """At w = 0, p = 1/2: with a prior of precision 1,000, H = diag(1001, 1000) and the step is H^-1 (2, 0) (1 - 1/2), a logit of 0.002."""
    sure = LaplaceLogistic(torch.zeros(2, dtype=torch.float64), 1000 * torch.eye(2, dtype=torch.float64))
    after = sure.update(torch.tensor([[2.0, 0.0]]), torch.tensor([1.0]))
    assert torch.equal(after.precision, torch.diag(torch.tensor([1001.0, 1000.0], dtype=torch.float64)))
    assert after.mean.tolist() == pytest.approx([1 / 1001, 0.0], rel=1e-12)


@pytest.mark.parametrize(("logit", "deviation", "answer"), [(15.2, 6.4, 0), (-4.0, 2.0, 1), (-40.0, 10.0, 1), (3.0, 100.0, 0), (0.0, 1.0, 1)])
def test_a_surprise_does_not_overshoot(logit, deviation, answer):
    """After one answer the logit z is where z = logit + deviation^2 (answer - sigmoid(z)); the Newton step from 15.2 went to -26."""
    belief = LaplaceLogistic(torch.tensor([logit], dtype=torch.float64), torch.tensor([[deviation**-2.0]], dtype=torch.float64))
    after = belief.update(torch.ones(1, 1), torch.tensor([float(answer)]))
    exact = brentq(lambda z: z - logit - deviation**2 * (answer - expit(z)), -1e5, 1e5)
    assert float(after.mean) == pytest.approx(exact, abs=1e-3)
    assert float(after.precision) == pytest.approx(deviation**-2.0 + expit(exact) * expit(-exact), rel=0.02)


def test_many_surprises_end_at_the_maximum():
    """Under a wide prior that expects the opposite, the slope of the log posterior is 0 where 30 answers of three columns lead."""
    phi, label, _ = logged(30)
    prior = LaplaceLogistic(torch.tensor([5.0, -20.0, 3.0], dtype=torch.float64), torch.eye(3, dtype=torch.float64) / 100)
    after, rows = prior.update(phi, label), phi.double()
    slope = rows.T @ (label.double() - torch.sigmoid(rows @ after.mean)) - prior.precision @ (after.mean - prior.mean)
    assert torch.linalg.solve(after.precision, slope).abs().max() < 1e-3


def test_no_rows_teach_nothing():
    """The belief stays as it is."""
    assert TWO.update(torch.zeros(0, 2), torch.zeros(0)) == TWO


def test_incremental_is_batch():
    """After a fit on most rows, the rest one by one and all at once end in the same belief, up to second order."""
    phi, label, _ = logged(5000)
    start, _ = fit(phi[:4900], label[:4900], (1, 2), 1.0)
    batch, one_by_one = start.update(phi[4900:], label[4900:]), start
    for row, y in zip(phi[4900:], label[4900:], strict=True):
        one_by_one = one_by_one.update(row[None], y[None])
    assert torch.allclose(batch.mean, one_by_one.mean, atol=5e-3)
    assert torch.allclose(batch.precision, one_by_one.precision, rtol=2e-2, atol=0.5)


def test_fit_is_the_maximum_and_finds_the_truth():
    """At the mean the slope of the log posterior is 0, and the truth lies within four deviations of it."""
    phi, label, truth = logged(4000)
    found, precisions = fit(phi, label, (1, 1, 1), 1.0)
    assert len(precisions) == 3
    rows, p = phi.double(), torch.sigmoid(phi.double() @ found.mean)
    slope = rows.T @ (label.double() - p) - torch.tensor(precisions, dtype=torch.float64) * found.mean
    assert slope.abs().max() < 0.05
    assert torch.allclose(found.precision, torch.diag(torch.tensor(precisions, dtype=torch.float64)) + rows.T @ (rows * (p * (1 - p))[:, None]), rtol=1e-3)
    deviation = torch.linalg.inv(found.precision).diagonal().sqrt()
    assert ((found.mean - truth).abs() < 4 * deviation).all()
    assert precisions[2] > precisions[1]  # the useless column is shrunk harder


def test_draws_have_the_stated_moments():
    """40,000 draws: mean m, covariance nu^2 H^-1."""
    belief = LaplaceLogistic(torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([[2.0, 0.6], [0.6, 1.0]], dtype=torch.float64))
    drawn = belief.draw(40_000, 0.5, torch.Generator().manual_seed(1))
    assert torch.allclose(drawn.mean(dim=0), belief.mean, atol=0.02)
    assert torch.allclose(torch.cov(drawn.T), 0.25 * torch.linalg.inv(belief.precision), atol=0.01)


def test_known_weights_are_not_drawn():
    """Of three weights one is known to be 1, also after an answer that all three bear on: the others' covariance is still theirs within all three."""
    start = LaplaceLogistic(torch.tensor([1.0, 1.0, -2.0], dtype=torch.float64), torch.diag(torch.tensor([2.0, NEVER, 1.0], dtype=torch.float64)))
    belief = start.update(torch.tensor([[1.0, 3.0, 0.5], [0.5, -2.0, 2.0]]), torch.tensor([1.0, 0.0]))
    drawn = belief.draw(40_000, 0.5, torch.Generator().manual_seed(1))
    assert (drawn[:, 1] == belief.mean[1]).all()
    free = torch.tensor([0, 2])
    assert torch.allclose(drawn.mean(dim=0), belief.mean, atol=0.02)
    assert torch.allclose(torch.cov(drawn[:, free].T), 0.25 * torch.linalg.inv(belief.precision)[free[:, None], free], atol=0.005)
    exact = torch.linalg.inv(belief.precision[free[:, None], free])
    assert torch.allclose(exact, torch.linalg.inv(belief.precision)[free[:, None], free], rtol=1e-9)
    known = LaplaceLogistic(start.mean, NEVER * torch.eye(3, dtype=torch.float64))
    assert torch.equal(known.draw(2, 1.0, torch.Generator()), start.mean.expand(2, -1))


@pytest.mark.parametrize("nu", [0.0, 1.0])
def test_draws_repeat_with_their_seed(nu):
    """Same generator state, same draws; nu = 0 draws the mean itself."""
    first, second = (TWO.draw(3, nu, torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(first, second)
    assert nu > 0 or torch.equal(first, torch.zeros(3, 2, dtype=torch.float64))


def test_deviations_by_hand():
    """Precision diag(4, 1): phi = (2, 3) has variance 4 / 4 + 9 = 10."""
    precision = torch.diag(torch.tensor([4.0, 1.0], dtype=torch.float64))
    assert deviations(precision, torch.tensor([[2.0, 3.0]])).tolist() == pytest.approx([10**0.5])


@pytest.mark.parametrize("offset", range(1, 8))
def test_where_a_belief_lies_in_memory_changes_no_bit(offset):
    """Read from a file it begins anywhere, and products of matrices round otherwise there: learned is from such a one, or from one just computed."""
    g = torch.Generator().manual_seed(offset)
    root, phi = torch.randn(99, 99, dtype=torch.float64, generator=g), torch.randn(2, 99, generator=g)
    belief = LaplaceLogistic(torch.randn(99, dtype=torch.float64, generator=g), root @ root.T + 10 * torch.eye(99, dtype=torch.float64))
    found = LaplaceLogistic(moved(belief.mean, offset), moved(belief.precision, offset)).update(phi, torch.ones(2))
    expected = belief.update(phi, torch.ones(2))
    assert torch.equal(found.mean, expected.mean)
    assert torch.equal(found.precision, expected.precision)


def moved(values, offset):
    """The same, `offset` numbers behind where memory is given out."""
    place = torch.empty(values.numel() + offset, dtype=values.dtype)[offset:].view(values.shape)
    return place.copy_(values)
