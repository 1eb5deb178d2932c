"""Where training runs: the same model anywhere, and nothing of it left behind on the CPU."""

from functools import partial

import pytest
import torch

from tests.fakes.training_frame import training_frame
from training.config.settings import TrainingSettings
from training.domain.errors import ConfigError
from training.model import adam
from training.model.device import CPU, device
from training.model.fit import fit
from training.model.fused import network
from training.model.optimise import Learner
from training.model.team import Alone
from training.model.towers import Sizes, Towers

SMALL = TrainingSettings(width=16, epochs=2, batch=256)
ACCELERATED = torch.accelerator.is_available()
ELSEWHERE = pytest.mark.skipif(not ACCELERATED, reason="torch sees no accelerator here")


def weights(model):
    """The network and the means of the heads."""
    return {**model.towers.state_dict(), **{label.value: head.mean for label, head in model.heads.items()}}


@pytest.fixture(scope="module")
def fitted(catalog):
    """Fits the same 1,500 decisions on a device."""
    frame = training_frame(catalog, 1500)
    return lambda name: weights(fit(frame, catalog, SMALL.model_copy(update={"device": name}), 7, str))


@pytest.mark.skipif(ACCELERATED, reason="auto is the accelerator here")
def test_auto_is_the_cpu_where_nothing_else_is(fitted):
    """To the bit."""
    auto, cpu = fitted("auto"), fitted("cpu")
    assert device("auto") == CPU
    assert all(torch.equal(auto[name], cpu[name]) for name in cpu)


@ELSEWHERE
def test_an_accelerator_gives_the_same_model(fitted):
    """Within rounding, and the model is on the CPU again."""
    there, here = fitted("auto"), fitted("cpu")
    assert device("auto") == torch.accelerator.current_accelerator()
    assert all(value.device == CPU for value in there.values())
    assert all(torch.allclose(there[name], here[name], rtol=1e-2, atol=1e-3) for name in here)


@pytest.mark.parametrize("name", ["cuda:99", "nonsense", "", "meta"])
def test_a_device_that_is_not_here_is_named(name):
    """Before anything is trained."""
    with pytest.raises(ConfigError, match=f"the device '{name}'"):
        device(name)


@pytest.mark.parametrize("where", [CPU, torch.device("meta"), pytest.param("auto", marks=ELSEWHERE)], ids=str)
def test_a_step_makes_every_tensor_on_the_rows_own_device(some_rows, where, monkeypatch):
    """On torch's `meta` device, which computes nothing and refuses to mix with the CPU, a tensor left behind on the CPU fails; so it would on any other."""
    monkeypatch.setattr(adam, "adamw", partial(_unfused, adam.adamw))
    found = where if isinstance(where, torch.device) else device(where)
    rows = some_rows.to(found)
    sizes = Sizes(16, (2, 3, 4), (3, 3, 3), 5)
    learner = Learner(rows, network(Towers(sizes), some_rows, torch.Generator().manual_seed(1)), SMALL, Alone())
    loss = learner.step(torch.arange(20, device=found), torch.zeros(20, dtype=torch.bool, device=found), torch.ones(2, device=found))
    measured = learner._losses(learner.smooth, torch.arange(20, device=found))
    own = (learner.weights, learner.mean, learner.gradient, learner.optimiser._steps)
    made = (loss, measured, *own, *learner.net.state_dict().values(), *learner.smooth.state_dict().values())
    assert {t.device.type for t in made} == {found.type}


def _unfused(adamw, *state, fused, **options):
    """Without the fused kernel, which `meta` does not have; the other one counts steps on the CPU."""
    *moved, counts = state
    return adamw(*moved, [torch.zeros_like(count, device=CPU) for count in counts], **options)


def test_a_tensor_left_on_the_cpu_would_be_found(some_rows):
    """The test above can fail: one column on the CPU beside others on `meta` is refused."""
    there = some_rows.to(torch.device("meta"))
    net = network(Towers(Sizes(16, (2, 3, 4), (3, 3, 3), 5)), some_rows, torch.Generator().manual_seed(1)).to("meta")
    batch = there.batch(torch.arange(20, device="meta"))
    with pytest.raises(RuntimeError, match="is not on the expected device"):
        net(batch._replace(dense=some_rows.dense[:20]), there.kinds, there.numbers)
