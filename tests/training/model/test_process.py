"""A Gaussian process against its closed forms."""

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from training.model import process

WIDE = ((0.0, 10.0),)


def test_one_thing_by_hand():
    """Prior variance 1, measured 2 with error variance 1: mean 1, variance 1/2; a thing of covariance 1/2 with it: mean 1/2, variance 1 - 1/8."""
    found = process.fit(lambda scales: torch.ones(1, 1, dtype=torch.float64) + 0 * scales[0], torch.tensor([2.0]).double(), torch.ones(1).double(), WIDE)
    mean, variance = found.at(torch.tensor([[1.0], [0.5]]).double(), torch.ones(2).double())
    assert mean.tolist() == pytest.approx([1.0, 0.5])
    assert variance.tolist() == pytest.approx([0.5, 1 - 0.125])


def test_the_scales_are_the_most_probable_ones():
    """No other variance on a fine grid has a larger evidence times belief, by scipy's normal density."""
    rng = np.random.default_rng(3)
    measured = rng.normal(0, 0.7, 12)
    error = rng.uniform(0.05, 0.3, 12)
    belief = ((-1.0, 0.8),)
    own = torch.eye(12, dtype=torch.float64)
    found = process.fit(lambda scales: own * scales[0].exp(), torch.from_numpy(measured), torch.from_numpy(error), belief)

    def probable(log):
        return multivariate_normal(np.zeros(12), np.diag(np.exp(log) + error)).logpdf(measured) - ((log + 1.0) / 0.8) ** 2 / 2

    grid = np.linspace(-4, 2, 6001)
    assert float(found.scales[0]) == pytest.approx(grid[np.argmax([probable(g) for g in grid])], abs=2e-3)


def test_left_out_deviations_are_those_of_leaving_out():
    """The variance of each thing given all others, one by one, against the formula; errors are taken off."""
    rng = np.random.default_rng(4)
    root = rng.normal(size=(6, 6))
    covariance, error = torch.from_numpy(root @ root.T), torch.from_numpy(rng.uniform(0.1, 0.5, 6))
    found = process.fit(lambda scales: covariance + 0 * scales[0], torch.zeros(6).double(), error, WIDE)
    apart = []
    for i in range(6):
        rest = [j for j in range(6) if j != i]
        known = covariance[rest][:, rest] + torch.diag(error[rest])
        apart.append(float(covariance[i, i] - covariance[i, rest] @ torch.linalg.solve(known, covariance[rest, i])))
    assert found.deviation(error) == pytest.approx(np.sqrt(np.mean(apart)))


def test_nothing_measured_leaves_the_belief():
    """The scales stay where the belief has them."""
    found = process.fit(lambda scales: torch.zeros(0, 0, dtype=torch.float64) * scales[0], torch.zeros(0).double(), torch.zeros(0).double(), ((-2.0, 1.0),))
    assert found.scales.tolist() == [-2.0]
    assert found.deviation(torch.zeros(0)) == 1.0


def test_no_scale_goes_where_the_covariance_cannot_be_factored():
    """Three things that are one, measured far outside of the belief: their variance alone would have to be 1e18, where nothing is left of the errors."""
    measured, error, belief = torch.full((3,), 1e9, dtype=torch.float64), torch.full((3,), 1e-4, dtype=torch.float64), ((-3.0, 1.5),)
    found = process.fit(lambda scales: torch.ones(3, 3, dtype=torch.float64) * scales[0].exp(), measured, error, belief)
    assert float(found.scales[0]) == -3.0 + process.FAR * 1.5
    assert found.inverse.isfinite().all()
