"""Regressions of each arm, by hand, against one regression, and against evidence found by search."""

import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from training.model.disjoint import BELIEVED, FIRST_NOISE, Disjoint

DOUBLE = torch.float64


def answered(rows: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """phi with a constant and two columns, arms 0 and 1, and labels that the second column sets, the other way round for each arm."""
    generator = torch.Generator().manual_seed(seed)
    phi = torch.cat([torch.ones(rows, 1), torch.randn(rows, 2, generator=generator)], dim=1).to(DOUBLE)
    arm = torch.randint(2, (rows,), generator=generator)
    label = 0.5 + 0.4 * phi[:, 1] * (1 - 2 * arm) + 0.2 * torch.randn(rows, generator=generator, dtype=DOUBLE)
    return phi, arm, label


def test_one_row_by_hand():
    """phi = 2, label 1, prior precision 1, noise 0.1: precision 1 + 4 / 0.1 = 41, mean 20 / 41; the other arm knows nothing. At phi = 3 all is thrice that."""
    found = Disjoint.empty((1,), 2).learned(torch.tensor([[2.0]], dtype=DOUBLE), torch.tensor([1]), torch.ones(1, dtype=DOUBLE))
    assert FIRST_NOISE == 0.1
    mean, deviation = found.beliefs().predict(torch.ones(1, 1, dtype=DOUBLE))
    assert mean[0].tolist() == pytest.approx([0.0, 20 / 41])
    assert deviation[0].tolist() == pytest.approx([1.0, 41**-0.5])
    mean, deviation = found.beliefs().predict(torch.full((1, 1), 3.0, dtype=DOUBLE))
    assert mean[0].tolist() == pytest.approx([0.0, 60 / 41])
    assert deviation[0].tolist() == pytest.approx([3.0, 3 * 41**-0.5])


def test_uncertainty_is_that_of_a_sum():
    """The deviation of phi . w is sqrt(phi' C phi), covariances included; here of two columns that one row could not tell apart."""
    phi = torch.tensor([[1.0, 2.0], [1.0, -2.0]], dtype=DOUBLE)
    found = Disjoint.empty((1, 1), 1).learned(torch.tensor([[1.0, 1.0]], dtype=DOUBLE), torch.tensor([0]), torch.ones(1, dtype=DOUBLE)).beliefs()
    precision = torch.tensor([[11.0, 10.0], [10.0, 11.0]], dtype=DOUBLE)  # 1 + 1 / 0.1 on the diagonal
    assert torch.allclose(found.predict(phi)[1][:, 0], (phi @ torch.linalg.inv(precision) @ phi.T).diagonal().sqrt())


def test_incremental_is_batch():
    """One row at a time and all at once are the same sums."""
    phi, arm, label = answered(30)
    batch = one = Disjoint.empty((1, 2), 2)
    batch = batch.learned(phi, arm, label)
    for i in range(30):
        one = one.learned(phi[i : i + 1], arm[i : i + 1], label[i : i + 1])
    assert torch.allclose(batch.gram, one.gram)
    assert torch.allclose(batch.slope, one.slope)
    assert (batch.square, batch.count) == (pytest.approx(one.square), one.count)


def test_arms_do_not_learn_from_each_other():
    """Each arm's weights are those of the ridge regression on its own rows."""
    phi, arm, label = answered(60)
    found = Disjoint.empty((1, 2), 2).learned(phi, arm, label).beliefs()
    for a in range(2):
        rows = phi[arm == a]
        assert torch.allclose(found.mean[a], torch.linalg.solve(rows.T @ rows + 0.1 * torch.eye(3, dtype=DOUBLE), rows.T @ label[arm == a]))


def test_precision_and_noise_are_those_of_a_search():
    """They end where scipy finds them most probable: y ~ N(0, noise I + phi phi' / precision) of all arms, and Gamma densities of both logarithms."""
    phi, arm, label = answered(80)
    found = Disjoint.empty((1, 2), 2).learned(phi, arm, label)
    for _ in range(200):
        found = found.tuned(found.beliefs())

    def against(logs) -> float:
        precision, noise = torch.tensor(logs, dtype=DOUBLE).exp()
        size = float((phi[:, 1:] ** 2).sum(dim=1).mean())
        total = -BELIEVED / 2 * float(precision.log() - precision / size - noise.log() - FIRST_NOISE / noise)
        for a in range(2):
            rows = phi[arm == a] / torch.stack([torch.ones((), dtype=DOUBLE), precision.sqrt(), precision.sqrt()])
            total -= multivariate_normal.logpdf(label[arm == a], cov=(rows @ rows.T + noise * torch.eye(len(rows), dtype=DOUBLE)).numpy())
        return float(total)

    best = minimize(against, [1.0, -2.0], method="Nelder-Mead", options={"xatol": 1e-4, "fatol": 1e-6}).x
    assert found.precisions[1:].log().tolist() == pytest.approx([best[0]], abs=0.05)
    assert found.noise == pytest.approx(float(torch.tensor(best[1]).exp()), rel=0.03)
    assert found.precisions[0] == 1.0


def test_the_first_answers_are_not_taken_at_their_word():
    """Twelve rows that all answered 1 leave room for another answer: neither are answers thought free of noise nor columns thought to be without effect."""
    phi, arm, _ = answered(12)
    found = Disjoint.empty((1, 2), 2).learned(phi, arm, torch.ones(12, dtype=DOUBLE))
    for _ in range(50):
        found = found.tuned(found.beliefs())
    assert found.noise > FIRST_NOISE * BELIEVED / (12 + BELIEVED) - 1e-9
    assert float(found.precisions[1]) < 10 * float((phi[:, 1:] ** 2).sum(dim=1).mean())


def test_evidence_can_be_handed_on():
    """A new basis begins with what the old one found."""
    phi, arm, label = answered(40)
    old = Disjoint.empty((1, 2), 2).learned(phi, arm, label)
    old = old.tuned(old.beliefs())
    new = Disjoint.empty((1, 5), 2).with_evidence_of(old)
    assert (new.noise, new.precisions.tolist(), new.count) == (old.noise, old.precisions.tolist(), 0)


def test_of_a_block_without_columns_nothing_is_said():
    """Its precision stays where it began, for columns that a later basis may have; the others' are as without it."""
    phi, arm, label = answered(40)
    found, without = (Disjoint.empty(blocks, 2).learned(phi, arm, label) for blocks in ((1, 0, 2), (1, 2)))
    found, without = found.tuned(found.beliefs()), without.tuned(without.beliefs())
    assert found.precisions[1] == 1.0
    assert found.precisions[[0, 2]].tolist() == without.precisions.tolist()
