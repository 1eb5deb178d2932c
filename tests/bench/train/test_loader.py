"""The plain loop trains the same network on the same rows."""

import pytest
import torch

from bench.train.loader import Decisions, PlainLoop, _loss
from tests.fakes.training_frame import training_frame
from training.config.settings import Settings, TrainingSettings
from training.domain.catalog import load_catalog
from training.model.fit import prepare
from training.model.fused import network
from training.model.optimise import Learner
from training.model.team import Alone
from training.model.towers import Towers

SMALL = TrainingSettings(width=16, batch=128, device="cpu")


@pytest.fixture(scope="module")
def prepared():
    """600 decisions."""
    catalog = load_catalog(Settings(source="simulated").catalog)
    return prepare(training_frame(catalog, 600), catalog, SMALL)


def test_a_row_is_one_of_each_column():
    """Two columns of three rows."""
    rows = Decisions((torch.tensor([1, 2, 3]), torch.tensor([[4.0], [5.0], [6.0]])))
    assert len(rows) == 3
    assert [part.tolist() for part in rows[1]] == [2, [5.0]]


@pytest.mark.parametrize("narrow", [False, True])
def test_its_loss_is_the_platforms(prepared, narrow):
    """On the same weights and rows: what the plain loop minimises is what a step of the platform does, whichever form the rows have."""
    loop = PlainLoop(prepared.rows, prepared.sizes, SMALL, 7, narrow=narrow)
    row = list(loop.loader.dataset[:100])
    net = network(Towers(prepared.sizes), prepared.rows, torch.Generator().manual_seed(7))
    learner = Learner(prepared.rows, net, SMALL, Alone())
    share = 1 / (len(prepared.rows.names) * learner.entropy)
    wanted = learner.step(torch.arange(100), torch.zeros(100, dtype=torch.bool), share)
    found = _loss(loop.forward(loop.net, row), row[-1], loop.base).detach()
    assert float(found) == pytest.approx(float(wanted), rel=1e-5)


def test_it_learns_and_counts(prepared):
    """A turn moves the weights, and says how many rows and seconds it took; the next one adds to both."""
    loop = PlainLoop(prepared.rows, prepared.sizes, SMALL, 7, narrow=False)
    before = loop.net.head.weight.detach().clone()
    loop.run(0.05)
    once = loop.rows, loop.seconds
    loop.run(0.05)
    assert not torch.equal(before, loop.net.head.weight)
    assert loop.rows > once[0] > 0
    assert loop.seconds > once[1] >= 0.05
