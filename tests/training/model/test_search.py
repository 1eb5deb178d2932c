"""The search ends where the slope is zero and the evidence agrees, after few passes."""

import pytest
import torch

from training.model.search import FREE, LARGEST_PRECISION, PASSES, Search, likelihood


def drawn(rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """phi: a constant, one useful and four useless columns; labels by logit -1 + x."""
    g = torch.Generator().manual_seed(2)
    phi = torch.cat([torch.ones(rows, 1), torch.randn(rows, 5, generator=g)], dim=1)
    return phi, (torch.rand(rows, generator=g) < torch.sigmoid(phi[:, 1] - 1)).to(torch.float32)


def run(search, phi, label):
    """Passes until it stands still."""
    while not search.still:
        search.learn(*likelihood(phi, label, torch.ones(len(label)), search.mean))
    return search


def test_it_ends_at_the_fixed_point():
    """Slope of the log posterior 0; each precision is gamma / |m|^2 at the end, or at its bound."""
    phi, label = drawn(3000)
    s = run(Search(float(label.mean()), (1, 1, 4), 0.5), phi, label)
    rows = phi.double()
    p = torch.sigmoid(rows @ s.mean)
    assert (rows.T @ (label - p) - s.precisions[s.groups] * s.mean).abs().max() < 1e-2
    hessian = rows.T @ (rows * (p * (1 - p))[:, None]) + torch.diag(s.precisions[s.groups])
    gamma = 1 - s.precisions[s.groups] * torch.linalg.inv(hessian).diagonal()
    assert float(s.precisions[1]) == pytest.approx(max(0.5, float(gamma[1] / s.mean[1] ** 2)), rel=0.01)
    assert float(s.precisions[2]) == pytest.approx(min(LARGEST_PRECISION, float(gamma[2:].sum() / s.mean[2:].square().sum())), rel=0.05)
    assert float(s.precisions[0]) == FREE
    assert s.passes < PASSES


def test_weights_count_rows():
    """A row of weight 2 is that row twice; of weight 0, no row."""
    phi, label = drawn(3)
    mean = torch.zeros(6, dtype=torch.float64)
    once = likelihood(phi[[0, 1, 1]], label[[0, 1, 1]], torch.ones(3), mean)
    weighed = likelihood(phi, label, torch.tensor([1.0, 2.0, 0.0]), mean)
    assert all(torch.allclose(a, b) for a, b in zip(once, weighed, strict=True))


def test_going_on_takes_fewer_passes():
    """From where a sample ended, all rows need fewer passes than from the start, and end at the same place."""
    phi, label = drawn(8000)
    fresh = run(Search(float(label.mean()), (1, 1, 4), 1.0), phi, label)
    warm = run(Search(float(label.mean()), (1, 1, 4), 1.0), phi[::4], label[::4])
    warm.again()
    run(warm, phi, label)
    assert warm.passes < fresh.passes
    assert torch.allclose(warm.mean, fresh.mean, atol=1e-3)


def test_rows_that_nearly_all_agree_do_not_throw_it_back_and_forth():
    """Sixty rows far out, a third of which say otherwise: Newton's step leads to where all of them seem certain, and from there back to where it began."""
    rows = 20_000
    far, label = torch.zeros(rows), torch.ones(rows)
    far[:60] = 8.0
    label[:20], label[1000:1015] = 0.0, 0.0
    phi = torch.stack([torch.ones(rows), far], dim=1)
    s = run(Search(float(label.mean()), (1, 1), 1.0), phi, label)
    slope = phi.double().T @ (label - torch.sigmoid(phi.double() @ s.mean)) - s.precisions[s.groups] * s.mean
    assert slope.abs().max() < 1e-2
    assert s.passes < PASSES
    assert float(torch.sigmoid(s.mean[0] + 8 * s.mean[1])) == pytest.approx(2 / 3, abs=0.02)
