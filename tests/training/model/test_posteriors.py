"""Each posterior behind the Protocol: closed forms, batches against single rows, a long chain, and scipy's distributions."""

import numpy as np
import pytest
import torch
from scipy import stats

from training.model import diagonal, ensemble, gaussian, posterior
from training.model.posterior import LaplaceLogistic


def logged(rows: int, seed: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    """phi with a constant and two columns, and labels from the true weights (-0.5, 1, 0)."""
    generator = torch.Generator().manual_seed(seed)
    phi = torch.cat([torch.ones(rows, 1), torch.randn(rows, 2, generator=generator)], dim=1)
    truth = torch.tensor([-0.5, 1.0, 0.0])
    return phi, (torch.rand(rows, generator=generator) < torch.sigmoid(phi @ truth)).float()


def chain(phi: np.ndarray, label: np.ndarray, prior: np.ndarray, steps: int, seed: int) -> np.ndarray:
    """Random-walk Metropolis over the exact posterior of a logistic regression, [steps, d]."""
    rng = np.random.default_rng(seed)
    weights, found = np.zeros(phi.shape[1]), np.zeros((steps, phi.shape[1]))

    def density(w: np.ndarray) -> float:
        z = phi @ w
        return float(label @ z - np.logaddexp(0, z).sum() - (prior * w**2).sum() / 2)

    here = density(weights)
    noise, luck = rng.normal(0, 0.22, found.shape), np.log(rng.random(steps))
    for i in range(steps):
        there = density(weights + noise[i])
        if luck[i] < there - here:
            weights, here = weights + noise[i], there
        found[i] = weights
    return found


def test_laplace_agrees_with_a_long_chain():
    """60 rows, 3 weights: mean and deviations of the Laplace belief are those of 60,000 steps of the exact posterior, within a fifth of a deviation."""
    phi, label = logged(60)
    found, precisions = posterior.fit(phi, label, (1, 2), 1.0)
    prior = np.repeat(precisions, (1, 2))
    exact = chain(phi.double().numpy(), label.double().numpy(), prior, 60_000, 1)[5_000:]
    deviation = torch.linalg.inv(found.precision).diagonal().sqrt().numpy()
    assert np.abs(found.mean.numpy() - exact.mean(axis=0)).max() < 0.2 * deviation.min() + 0.05
    assert np.allclose(deviation, exact.std(axis=0), rtol=0.2)


def test_draws_are_scipys_normal():
    """Kolmogorov-Smirnov of each weight against its marginal: not refuted at 1e-3 with 20,000 draws."""
    precision = torch.tensor([[2.0, 0.6], [0.6, 1.0]], dtype=torch.float64)
    mean = torch.tensor([1.0, -2.0], dtype=torch.float64)
    drawn = posterior.normal(mean, precision, (20_000, 1.0), torch.Generator().manual_seed(4))
    spread = torch.linalg.inv(precision).diagonal().sqrt()
    for i in range(2):
        assert stats.kstest(drawn[:, i].numpy(), stats.norm(float(mean[i]), float(spread[i])).cdf).pvalue > 1e-3


def test_gaussian_is_the_closed_form():
    """After a fit, mean = (prior I + X'X / noise)^-1 X'y / noise."""
    phi, label = logged(200)
    found = gaussian.fit(phi, label)
    rows, gram = phi.double(), phi.double().T @ phi.double()
    prior = float((found.precision - gram / found.noise)[0, 0])
    ridge = np.linalg.solve(prior * np.eye(3) + gram.numpy() / found.noise, (rows.T @ label.double()).numpy() / found.noise)
    assert np.allclose(found.mean.numpy(), ridge)
    assert prior > 0
    residual = label.double() - rows @ found.mean
    assert found.noise == pytest.approx(float(residual @ residual) / 197, rel=0.05)


def test_gaussian_incremental_is_batch():
    """One row at a time, in any order, is all rows at once, to rounding."""
    phi, label = logged(40)
    start = gaussian.GaussianLinear(torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64), 0.3)
    batch, one_by_one = start.update(phi, label), start
    for i in torch.randperm(40, generator=torch.Generator().manual_seed(0)).tolist():
        one_by_one = one_by_one.update(phi[i : i + 1], label[i : i + 1])
    assert torch.allclose(batch.mean, one_by_one.mean, atol=1e-10)
    assert torch.allclose(batch.precision, one_by_one.precision, atol=1e-10)


def test_ensemble_spreads_as_laplace_does():
    """The bootstrap's spread is the posterior's, roughly: 8 heads tell the order of magnitude; the mean is the most probable weights'."""
    phi, label = logged(4000)
    whole, _ = posterior.fit(phi, label, (1, 2), 1.0)
    found = ensemble.fit(phi, label, (1, 2), 1.0, seed=5)
    deviation = torch.linalg.inv(whole.precision).diagonal().sqrt()
    assert ((found.mean - whole.mean).abs() < 2 * deviation).all()
    spread = torch.stack([head.mean for head in found.heads]).std(dim=0)
    assert (spread / deviation).log().abs().max() < np.log(3)


def test_a_head_of_the_ensemble_is_what_its_own_rows_say():
    """Each row as often as its lot, which is Poisson(1): at the head's mean the slope of log likelihood and prior is a small part of a deviation, and its
    precision is theirs there.
    """
    phi, label = logged(300)
    _, precisions = posterior.fit(phi, label, (1, 2), 1.0)
    prior = torch.tensor([precisions[0], precisions[1], precisions[1]], dtype=torch.float64)
    found, lots = ensemble.fit(phi, label, (1, 2), 1.0, seed=5), ensemble._lots(5, 0, 300, ensemble.HEADS)
    assert (float(lots.mean()), float(lots.var())) == pytest.approx((1.0, 1.0), abs=0.1)
    rows = phi.double()
    for head, counts in zip(found.heads, lots.T, strict=True):
        p = torch.sigmoid(rows @ head.mean)
        precision = rows.T @ (rows * (counts * p * (1 - p))[:, None]) + torch.diag(prior)
        away = torch.linalg.solve(precision, rows.T @ (counts * (label.double() - p)) - prior * head.mean)
        assert (away.abs() * precision.diagonal().sqrt()).max() < 0.05
        assert torch.allclose(head.precision, precision, rtol=0.1, atol=0.05 * float(precision.diagonal().max()))


def test_ensemble_rows_keep_their_lots():
    """Two rows together or one after the other count equally often; a draw is one of the heads, and nu = 0 is the mean."""
    phi, label = logged(300)
    start = ensemble.fit(phi[:298], label[:298], (1, 2), 1.0, seed=5)
    at_once = start.update(phi[298:], label[298:])
    one_by_one = start.update(phi[298:299], label[298:299]).update(phi[299:], label[299:])
    for a, b in zip(at_once.heads, one_by_one.heads, strict=True):
        assert torch.allclose(a.precision, b.precision, rtol=1e-2)
    drawn = start.draw(50, 1.0, torch.Generator().manual_seed(1))
    assert {tuple(row.tolist()) for row in drawn} <= {tuple((start.mean + (h.mean - start.mean)).tolist()) for h in start.heads}
    assert torch.equal(start.draw(2, 0.0, torch.Generator()), start.mean.expand(2, -1))


def test_gradients_by_hand():
    """f = a x1 + b x2 at (a, b) = (3, -1): phi is (f, x1, x2)."""
    net = torch.nn.Linear(2, 1, bias=False)
    net.weight.data = torch.tensor([[3.0, -1.0]])
    phi = diagonal.gradients(net, torch.tensor([[1.0, 2.0], [0.0, 5.0]]))
    assert torch.equal(phi, torch.tensor([[1.0, 1.0, 2.0], [-5.0, 0.0, 5.0]]))


def test_the_diagonal_belief_by_hand():
    """At f = 0, p (1 - p) = 1/4: rows (f, 2, 0) and (f, 2, 4) add 1 + 1 and 4 to the weights' precisions; draws of the logit have variance nu^2 g' U^-1 g."""
    belief = diagonal.prior(2, 1.0).update(torch.tensor([[0.0, 2.0, 0.0], [0.0, 2.0, 4.0]]), torch.tensor([1.0, 0.0]))
    assert belief.precision[1:].tolist() == [3.0, 5.0]
    drawn = belief.draw(40_000, 0.5, torch.Generator().manual_seed(2))
    logit = drawn @ torch.tensor([1.5, 2.0, 1.0], dtype=torch.float64)
    assert float(logit.mean()) == pytest.approx(1.5, abs=0.02)
    assert float(logit.var()) == pytest.approx(0.25 * (4 / 3 + 1 / 5), rel=0.05)


@pytest.mark.parametrize("kind", ["laplace", "gaussian", "ensemble", "diagonal"])
def test_every_posterior_repeats_with_its_seed(kind):
    """The Protocol: float64 draws [S, d] that depend on the generator alone, and nu = 0 draws the mean."""
    phi, label = logged(200)
    made = {
        "laplace": lambda: LaplaceLogistic(torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64)),
        "gaussian": lambda: gaussian.fit(phi, label),
        "ensemble": lambda: ensemble.fit(phi, label, (1, 2), 1.0, seed=1),
        "diagonal": lambda: diagonal.prior(2, 1.0),
    }[kind]().update(phi, label)
    first, second = (made.draw(5, 1.0, torch.Generator().manual_seed(3)) for _ in range(2))
    assert first.shape == (5, 3)
    assert first.dtype == torch.float64
    assert torch.equal(first, second)
    assert torch.allclose(made.draw(2, 0.0, torch.Generator()), made.mean.expand(2, -1))
