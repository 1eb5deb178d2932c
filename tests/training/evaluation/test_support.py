from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.support import support, warnings
from training.evaluation.unseen import Unseen

ALL = Unseen()


def test_diagnostics_by_hand():
    """Weights 2, 0, 1, 1: Kish 16 / 6, half of the weight on one row."""
    found = support(np.array([2.0, 0.0, 1.0, 1.0]), np.arange(4), ALL)
    assert found.effective_sample_size == pytest.approx(16 / 6)
    assert (found.rows, found.max_weight, found.mean_weight, found.max_weight_share) == (4, 2.0, 1.0, 0.5)


def test_no_weight_at_all():
    """A target that never agrees with the log has no effective row."""
    found = support(np.zeros(10), np.arange(10), ALL)
    assert (found.effective_sample_size, found.max_weight_share) == (0.0, 1.0)


def test_clusters_count_by_their_rows():
    """One of 91 rows beside nine of one: 100^2 / (91^2 + 9) are about 1.2 clusters; ten equal ones are ten."""
    weight, one_large = np.ones(100), np.concatenate([np.zeros(91), np.arange(1, 10)]).astype(int)
    assert support(weight, one_large, ALL).effective_clusters == pytest.approx(100**2 / (91**2 + 9))
    assert support(weight, np.arange(100) % 10, ALL).effective_clusters == 10


def test_many_clusters_of_which_few_hold_the_log_are_few():
    """100 clusters, but one holds half of the rows."""
    cluster = np.concatenate([np.zeros(1000), np.repeat(np.arange(1, 100), 10)]).astype(int)
    (said,) = warnings(support(np.ones(1990), cluster, ALL))
    assert "100 clusters of unequal size, which count like 3.9" in said


def test_what_is_unseen_is_named():
    """Actions by name where names are known, by their number where not, with the mass by which the intervals are widened."""
    found = support(np.ones(1000), np.arange(1000), Unseen(never=0.1, short=((1, 0.05), (0, 0.02)), off=0.12))
    said = warnings(found, ("mail", "push", "call"))
    assert any("10.0% of the target's probability lies on actions that the log never took" in s for s in said)
    assert any("mean weight is 1 and should be about 0.9:" in s for s in said)
    assert any("The log took action 'push', 'mail' less often" in s and "up to 7.0%" in s for s in said)
    assert any("widened by 0.22" in s for s in said)
    assert any("The log took 2 action(s) less often" in s for s in warnings(found))
    many = support(np.ones(1000), np.arange(1000), Unseen(short=tuple((a, 0.01) for a in range(5))))
    assert any("action 'a', 'b', 'c' and 2 more" in s for s in warnings(many, "abcde"))
    assert found.numbers()["unseen"] == pytest.approx(0.22)


def test_good_support_is_silent():
    """1,000 weights of 1 need no warning."""
    assert warnings(support(np.ones(1000), np.arange(1000), ALL)) == []


@pytest.mark.parametrize(
    ("weight", "clusters", "word"),
    [
        (np.ones(100), 100, "Thin support"),
        (np.concatenate([[100.0], np.full(900, 1.0)]), 901, "One row carries"),
        (np.full(1000, 0.8), 1000, "mean weight is 0.8 and should be about 1; with this few"),
        (np.ones(1000), 10, "Only 10 cluster(s)"),
    ],
)
def test_each_weakness_is_said(weight, clusters, word):
    """Few effective rows, one heavy row, a mean weight that is not 1, few clusters."""
    assert any(word in sentence for sentence in warnings(support(weight, np.arange(len(weight)) % clusters, ALL)))
