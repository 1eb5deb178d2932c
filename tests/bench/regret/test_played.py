"""What a policy remembers, and how it scales it."""

import numpy as np
import pytest

from bench.regret.linear import Uniform
from bench.regret.loop import play
from bench.regret.played import Played, Scale
from bench.regret.problem import Norm, labelled


def test_a_scale_is_of_the_rows_so_far():
    """By hand: 1 and 3 have mean 2 and deviation 1, so they are -1 and 1, and 5 is 3 whenever it comes;
    a constant column is only shifted. Rows that came scaled stay as they are.
    """
    played = Played.empty(5, 2)
    played.add(np.array([[1.0, 7.0], [3.0, 7.0]], dtype=np.float32), np.zeros(2, dtype=np.int64), np.zeros(2, dtype=np.float32))
    assert played.scale.scaled(played.x[:2]).tolist() == [[1, 7], [3, 7]]
    played.scales = True
    scale = played.scale
    played.add(np.array([[5.0, 9.0]], dtype=np.float32), np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32))
    assert scale.scaled(played.x[:3]).tolist() == [[-1, 0], [1, 0], [3, 2]]
    assert played.scale.mean.tolist() == [3.0, np.float64(23 / 3)]


def test_what_lies_far_out_is_cut():
    """At ten deviations."""
    assert Scale.of(np.array([[0.0], [2.0]], dtype=np.float32)).scaled(np.array([[100.0]], dtype=np.float32)).tolist() == [[10.0]]


class Looks(Uniform):
    """Uniform, but remembers what it was shown."""

    wants = False

    def unscaled(self) -> bool:
        """As it was told."""
        return self.wants

    def learn(self, x, arms, rewards) -> None:
        """Keeps the rows."""
        self.shown = np.vstack([getattr(self, "shown", x[:0]), x])


class Keeps(Looks):
    """Scales them itself."""

    wants = True


@pytest.mark.parametrize(("norm", "kept"), [(Norm.STANDARD, "unscaled"), (Norm.L2, "x")])
def test_only_who_keeps_rows_gets_them_unscaled(norm, kept):
    """And only where they are standardised; all others see what the rows before each one make of it."""
    problem = labelled(np.random.default_rng(1).normal(size=(20, 2)), np.arange(20) % 2, 20, norm, 3)
    for kind, rows in ((Looks, problem.x), (Keeps, getattr(problem, kept))):
        policy = kind(2, np.random.default_rng(0))
        play(problem, lambda *_, policy=policy: policy, 1)
        assert np.array_equal(policy.shown, rows)


@pytest.mark.parametrize("unit", [1e-30, 1e-12, 1.0, 1e12])
def test_a_scale_does_not_depend_on_units(unit):
    """Deviations below 1e-9 were taken for none."""
    rows = np.array([[0.0, 7.0], [2.0, 7.0]], dtype=np.float32) * np.float32(unit)
    assert Scale.of(rows).scaled(rows).tolist() == [[-1, 0], [1, 0]]
