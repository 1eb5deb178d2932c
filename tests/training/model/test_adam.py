"""AdamW of one vector against torch's class of it; what training imports."""

import subprocess
import sys

import torch

from training.config.settings import ROOT
from training.model.adam import Adam

CODE = """
import sys, torch
from training.model import process
from training.model.adam import Adam
Adam(torch.ones(3), 0.1).step(torch.ones(3), 0.1)
one = torch.ones(1, dtype=torch.float64)
process.fit(lambda scales: scales.exp()[:, None], one, one, [(0.0, 1.0)])
print("torch._dynamo" in sys.modules)
"""


def test_steps_are_those_of_the_class():
    """To the bit, with a rate that rises and weights that decay."""
    random = torch.Generator().manual_seed(1)
    ours, gradients = torch.randn(5_000, generator=random), torch.randn(40, 5_000, generator=random)
    theirs, adam = ours.clone(), Adam(ours, 0.01)
    reference = torch.optim.AdamW([theirs], weight_decay=0.01, fused=True)
    for count, gradient in enumerate(gradients, start=1):
        reference.param_groups[0]["lr"] = rate = 1e-3 * min(1.0, count / 20)
        theirs.grad = gradient
        reference.step()
        adam.step(gradient, rate)
    assert torch.equal(ours, theirs)


def test_training_imports_no_compiler():
    """Neither search does, which torch's classes of both would. In a process of its own, since other tests of this one may import it."""
    done = subprocess.run([sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "False\n"
