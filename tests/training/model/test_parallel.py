"""Several processes train the model that one trains, fail with what went wrong, and leave nothing running."""

import dataclasses
import os
import signal
import subprocess
import sys

import psutil
import pytest
import torch

from tests.fakes.training_frame import training_frame
from training.config.settings import ROOT, TrainingSettings
from training.domain.errors import StepError
from training.model.fit import fit
from training.model.fused import network
from training.model.optimise import Learner
from training.model.parallel import EPOCHS, JOB, Job, launch, read, spill
from training.model.rows import IMMATURE
from training.model.team import Alone
from training.model.towers import Sizes, Towers

SMALL = TrainingSettings(width=16, epochs=6, batch=256, device="cpu")
SIZES = Sizes(16, (2, 3, 4), (3, 3, 3), 5)


@dataclasses.dataclass
class Share:
    """One of two processes whose sums are left to the test."""

    rank: int
    size: int = 2

    def add(self, tensor):
        """Leave the part as it is."""


@pytest.fixture
def uneven(some_rows):
    """One label is mature in the even rows alone, which are the first process's share."""
    labels = some_rows.labels.clone()
    labels[1::2, 0] = IMMATURE
    return dataclasses.replace(some_rows, labels=labels)


def stepped(rows, team):
    """The gradient and the loss of one step on the first 31 rows: 16 for the first of two processes, 15 for the second."""
    learner = Learner(rows, network(Towers(SIZES), rows, torch.Generator().manual_seed(1)), SMALL, team)
    with torch.no_grad():
        learner.net.head.weight.normal_(generator=torch.Generator().manual_seed(2))
    loss = learner.step(torch.arange(31), torch.zeros(31, dtype=torch.bool), torch.ones(2))
    return learner.gradient, loss


def test_shares_add_up_though_their_labels_differ(uneven):
    """The two gradients sum to that of one process, and so do the losses; their plain mean would not."""
    whole, loss = stepped(uneven, Alone())
    parts = [stepped(uneven, Share(rank)) for rank in (0, 1)]
    assert torch.allclose(parts[0][0] + parts[1][0], whole, atol=1e-6)
    assert float(parts[0][1] + parts[1][1]) == pytest.approx(float(loss), rel=1e-6)


def test_a_process_without_a_row_adds_nothing(uneven):
    """The last batch may be a single row."""
    learner = Learner(uneven, network(Towers(SIZES), uneven, torch.Generator().manual_seed(1)), SMALL, Share(1))
    loss = learner.step(torch.arange(1), torch.zeros(1, dtype=torch.bool), torch.ones(2))
    assert float(loss) == 0.0
    assert not learner.gradient.any()


def test_two_processes_train_the_model_of_one(catalog):
    """Through torchrun: as many epochs, the same weights apart from rounding, the same progress, and no child left. Predictions may differ by what the
    searches for the evidence leave open (`search.STILL`).
    """
    frame = training_frame(catalog, 3001)
    told = {1: [], 2: []}
    one, two = (fit(frame, catalog, SMALL.model_copy(update={"processes": n}), 7, told[n].append) for n in (1, 2))
    assert len(one.manifest["epochs"]) == len(two.manifest["epochs"])
    weights, others = one.towers.state_dict(), two.towers.state_dict()
    assert all(torch.allclose(weights[name], others[name], atol=1e-5) for name in weights)
    before, after = one.predict(frame, catalog), two.predict(frame, catalog)
    assert all(abs(before[label] - after[label]).max() < 1e-3 for label in before)
    assert [line.split(":")[0] for line in told[1]] == [line.split(":")[0] for line in told[2]]
    assert not left()


def left():
    """Children that take part in a training; other tests of this process may have servers of their own."""
    return [child for child in psutil.Process().children(recursive=True) if any("training.model" in word or "torchrun" in word for word in child.cmdline())]


def test_in_as_many_parts_one_process_gives_the_same_bytes(catalog):
    """Rounding alone leads two long trainings apart, as soon as it turns a ReLU; added up in two parts there is none between one process and two."""
    frame = training_frame(catalog, 6000)
    long = SMALL.model_copy(update={"epochs": 12, "batch": 64})
    one, two = (fit(frame, catalog, long.model_copy(update=how), 7, str) for how in ({"parts": 2}, {"processes": 2}))
    weights, others = one.towers.state_dict(), two.towers.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert [e["learned"] for e in one.manifest["epochs"]] == pytest.approx([e["learned"] for e in two.manifest["epochs"]], rel=1e-6)


def test_a_failed_process_says_why(tmp_path, some_rows):
    """Its own words, not torchrun's traceback; nobody waits for the others."""
    spill(Job(some_rows, SIZES, SMALL.model_copy(update={"device": "cuda:99"}), 1), tmp_path)
    with pytest.raises(StepError, match=r"ended with 1\), so there is no new model:\nConfigError: Training cannot run on the device 'cuda:99'"):
        launch(tmp_path, 2, print)
    assert not left()


def test_stopping_ends_every_process(tmp_path, some_rows):
    """Whatever interrupts the wait: here the reader of the progress, after the first epoch of a thousand."""
    spill(Job(some_rows, SIZES, SMALL.model_copy(update={"epochs": 1000, "batch": 16}), 1), tmp_path)

    def interrupt(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(tmp_path, 2, interrupt)
    assert not (tmp_path / EPOCHS).exists()
    assert not left()


def test_processes_end_with_a_killed_owner(tmp_path, some_rows):
    """SIGKILL lets nobody tidy up: torchrun and its processes notice by themselves."""
    rows = dataclasses.replace(some_rows, kept_back=torch.zeros(len(some_rows), dtype=torch.bool))
    spill(Job(rows, SIZES, SMALL.model_copy(update={"epochs": 100_000, "batch": 16}), 1), tmp_path)
    code = f"from pathlib import Path; from training.model import parallel; parallel.launch(Path({str(tmp_path)!r}), 2, lambda line: print(line, flush=True))"
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)
    assert "epoch 1 " in owner.stdout.readline()
    family = psutil.Process(owner.pid).children(recursive=True)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    assert len(family) == 3
    assert not psutil.wait_procs(family, timeout=60)[1]
    assert not (tmp_path / EPOCHS).exists()  # they were ended, and did not come to their end


def test_a_job_is_read_as_it_was_written(tmp_path, some_rows):
    """Rows, sizes, settings and seed."""
    spill(Job(some_rows, SIZES, SMALL, 9), tmp_path)
    job = read(tmp_path)
    assert (job.sizes, job.settings, job.seed, job.rows.names, job.rows.numbers) == (SIZES, SMALL, 9, some_rows.names, some_rows.numbers)
    every = torch.arange(len(some_rows))
    assert all(torch.equal(a, b) for a, b in zip(job.rows.batch(every), some_rows.batch(every), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(job.rows.kinds, some_rows.kinds, strict=True))
    assert (tmp_path / JOB).is_file()
