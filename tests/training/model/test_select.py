"""From draws to one arm: small arrays by hand, and properties of every propensity."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config.settings import UtilitySettings
from training.domain.nouns import Label
from training.model.funnel import Stage
from training.model.posterior import LaplaceLogistic
from training.model.select import Prices, choose, draw_utilities, draw_weights, propensities, worth_of

WORTH = UtilitySettings(retention=500, opt_out=20)


def test_propensities_by_hand():
    """Four draws over two arms: the first arm wins three of them; a tie goes to the arm that stands first."""
    utilities = torch.tensor([[1.0, 2.0, 5.0, 4.0], [0.0, 3.0, 5.0, 2.0]])  # arms x draws
    assert torch.allclose(propensities(utilities, 0.1), torch.tensor([0.9 * 3 / 4 + 0.05, 0.9 / 4 + 0.05], dtype=torch.float64))


def test_propensities_of_a_batch_are_those_of_each():
    """[B, A, S] and B times [A, S] agree."""
    batch = torch.randn(5, 4, 16, generator=torch.Generator().manual_seed(2))
    assert torch.equal(propensities(batch, 0.02), torch.stack([propensities(one, 0.02) for one in batch]))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 9), st.integers(1, 40), st.floats(1e-3, 1.0), st.integers(0, 2**31))
def test_propensities_are_a_distribution_with_a_floor(arms, draws, epsilon, seed):
    """Whatever was drawn: they sum to 1, none is below epsilon / A, and an infeasible arm has no place in them."""
    p = propensities(torch.randn(arms, draws, generator=torch.Generator().manual_seed(seed)), epsilon)
    assert p.shape == (arms,)
    assert float(p.sum()) == pytest.approx(1.0, abs=1e-9)
    assert float(p.min()) >= epsilon / arms - 1e-12


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=6).filter(lambda w: sum(w) > 0.01), st.integers(0, 2**31))
def test_choose_never_takes_an_arm_without_probability(weights, seed):
    """Zero off the support."""
    p = torch.tensor([0.0, *weights, 0.0], dtype=torch.float64)
    assert p[choose(p / p.sum(), torch.Generator().manual_seed(seed))] > 0


def test_drawn_frequencies_are_the_propensities():
    """20,000 choices by the stated p: within four standard errors of it."""
    p = propensities(torch.randn(4, 32, generator=torch.Generator().manual_seed(5)), 0.2)
    generator, count = torch.Generator().manual_seed(6), 20_000
    chosen = torch.bincount(torch.tensor([choose(p, generator) for _ in range(count)]), minlength=4) / count
    assert ((chosen - p).abs() < 4 * (p * (1 - p) / count).sqrt()).all()


def test_worth_by_hand():
    """One arm that sells 150 at 0.1 where half would buy anyway, keeps 2 points more and loses an opt-out at 0.05."""
    value, half = torch.tensor([[150.0]]), torch.tensor([[[0.5]]])
    assert float(worth_of(Label.CONVERTED, half * 0.2, half, value, WORTH)) == pytest.approx(-60.0)
    assert float(worth_of(Label.RETAINED, half + 0.02, half, value, WORTH)) == pytest.approx(10.0)
    assert float(worth_of(Label.OPTED_OUT, half * 0.1, half, value, WORTH)) == pytest.approx(-1.0)
    assert float(worth_of(Label.CLICKED, half, half, value, WORTH)) == 0.0


def test_utilities_by_hand():
    """phi = [1 | s, s x]: under w = (0 | log 3, 0), P(convert) is 3/4 where shown and 1/2 under none; the difference earns, cost is taken off."""
    phi = torch.tensor([[[1.0, 0.0, 0.0], [1.0, 1.0, 7.0]]])
    weights = {Stage.CONVERTED: torch.tensor([[0.0, float(torch.tensor(3.0).log()), 0.0]])}
    prices = Prices(torch.tensor([[10.0, 100.0]]), torch.tensor([[0.0, 2.0]]))
    assert torch.allclose(draw_utilities(phi, 1, weights, prices, WORTH), torch.tensor([[[0.0], [23.0]]]))


def test_a_column_of_negative_weights_counts():
    """As above, but the last column takes away: under w = (0 | 0, -log 3), P(convert) is 1/4 where shown and 1/2 under none."""
    phi = torch.tensor([[[1.0, 7.0, 0.0], [1.0, 7.0, 1.0]]])
    weights = {Stage.CONVERTED: torch.tensor([[0.0, 0.0, -float(torch.tensor(3.0).log())]])}
    prices = Prices(torch.tensor([[10.0, 100.0]]), torch.tensor([[0.0, 2.0]]))
    assert torch.allclose(draw_utilities(phi, 1, weights, prices, WORTH), torch.tensor([[[0.0], [-27.0]]]))


def test_a_head_that_reads_no_arm_pays_for_none():
    """Both draws say who converts, none that an arm changes it: every arm is worth what its message costs, less the chance of an opt-out."""
    phi, weights = torch.ones(2, 3, 2), torch.tensor([[1.0, 0.0], [-2.0, 0.0]])
    prices = Prices(torch.full((2, 3), 100.0), torch.tensor([[0.0, 1.0, 2.0]]).repeat(2, 1))
    found = draw_utilities(phi, 1, {Stage.CONVERTED: weights, Stage.OPTED_OUT: weights}, prices, WORTH)
    assert torch.allclose(found, -prices.cost[..., None] - WORTH.opt_out * torch.sigmoid(weights[:, 0]))


def test_a_column_that_one_draw_weighs_is_kept_whole():
    """A head that weighs a column in one draw reads it: what the other draw gives it stays; a column that all draws leave below 1e-5 is 0 for certain."""

    class Drawn(LaplaceLogistic):
        def draw(self, draws, nu, generator):
            return torch.tensor([[0.5, 1e-6, -1e-6], [-1.0, -0.3, 1e-6]], dtype=torch.float64)

    head = Drawn(torch.zeros(3, dtype=torch.float64), torch.eye(3, dtype=torch.float64))
    drawn = draw_weights({Stage.CONVERTED: head}, 2, 1.0, torch.Generator())[Stage.CONVERTED]
    assert torch.equal(drawn, torch.tensor([[0.5, 1e-6, 0.0], [-1.0, -0.3, 0.0]]))


def test_a_label_without_a_head_drops_out():
    """Only heads that exist and that the utility reads are drawn."""
    head = LaplaceLogistic(torch.zeros(2, dtype=torch.float64), torch.eye(2, dtype=torch.float64))
    drawn = draw_weights({Stage.CLICKED: head, Stage.RETAINED: head}, 3, 1.0, torch.Generator().manual_seed(1))
    assert {stage: tuple(w.shape) for stage, w in drawn.items()} == {Stage.RETAINED: (3, 2)}


def test_columns_that_no_draw_weighs_are_left_out():
    """A column with weights of a millionth changes nothing, even where phi is infinite nonsense there; one that a single draw weighs counts."""
    phi, prices = torch.randn(4, 3, 6, generator=torch.Generator().manual_seed(3)), Prices(torch.ones(4, 3), torch.zeros(4, 3))
    weights = torch.randn(8, 6, generator=torch.Generator().manual_seed(4))
    weights[:, 4] = 1e-6
    weights[:7, 5] = 0.0
    broken = phi.clone()
    broken[:, :, 4] = float("nan")
    found = draw_utilities(broken, 2, {Stage.CONVERTED: weights}, prices, WORTH)
    assert torch.allclose(found, draw_utilities(phi, 2, {Stage.CONVERTED: weights}, prices, WORTH), atol=1e-5)
    broken[:, :, 5] += 1.0
    assert not torch.allclose(found[..., 7], draw_utilities(broken, 2, {Stage.CONVERTED: weights}, prices, WORTH)[..., 7], atol=1e-3)
