from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.support import support, warnings


def test_diagnostics_by_hand():
    """Weights 2, 0, 1, 1: Kish 16 / 6, half of the weight on one row."""
    found = support(np.array([2.0, 0.0, 1.0, 1.0]), np.arange(4))
    assert found.effective_sample_size == pytest.approx(16 / 6)
    assert (found.rows, found.max_weight, found.mean_weight, found.max_weight_share) == (4, 2.0, 1.0, 0.5)


def test_no_weight_at_all():
    """A target that never agrees with the log has no effective row."""
    found = support(np.zeros(10), np.arange(10))
    assert (found.effective_sample_size, found.max_weight_share) == (0.0, 1.0)
    assert found.unseen == pytest.approx(0.999)


def test_good_support_is_silent():
    """1,000 weights of 1 need no warning."""
    assert warnings(support(np.ones(1000), np.arange(1000))) == []


@pytest.mark.parametrize(
    ("weight", "clusters", "word"),
    [
        (np.ones(100), 100, "Thin support"),
        (np.concatenate([[100.0], np.full(900, 1.0)]), 901, "One row carries"),
        (np.full(1000, 0.5), 1000, "mean weight is 0.5"),
        (np.ones(1000), 10, "Only 10 cluster(s)"),
    ],
)
def test_each_weakness_is_said(weight, clusters, word):
    """Few effective rows, one heavy row, a mean weight that is not 1, few clusters."""
    assert any(word in sentence for sentence in warnings(support(weight, np.arange(len(weight)) % clusters)))
