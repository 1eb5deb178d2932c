"""The figures of `rightmatch bench train`, each against a count by hand, and the command from end to end on a made world."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from statistics import median
from time import sleep
from types import SimpleNamespace

import pytest
import torch

from bench import commands
from bench.train import measure as module
from bench.train import world
from bench.train.measure import Clock, matmul_peak, some, step_flops
from tests.fakes.training_frame import training_frame
from training.config.settings import ROOT, Settings, TrainingSettings
from training.domain.catalog import load_catalog
from training.domain.errors import ConfigError, StepError
from training.model.device import CPU
from training.model.fit import prepare

SMALL = TrainingSettings(width=16, batch=128, device="cpu")


@pytest.fixture(scope="module")
def catalog():
    """The simulated one."""
    return load_catalog(Settings(source="simulated").catalog)


def test_the_clock_leaves_turns_out():
    """What runs between two epochs is on nobody's time, and there are TURNS turns at most."""
    turns = []
    clock = Clock(lambda: turns.append(sleep(0.1)))
    for _ in range(module.TURNS + 2):
        clock("an epoch")
    assert len(turns) == module.TURNS
    assert len(clock.seconds) == module.TURNS + 2
    assert median(clock.seconds) < 0.1  # a busy machine may take some of them longer


def test_flops_are_counted(catalog):
    """Per row at least the products of the layers that every row passes, and less than twice that: forward, weights, inputs."""
    prepared = prepare(training_frame(catalog, 600), catalog, SMALL)
    widths = 2 * 17 + sum(len(v) + 1 for v in prepared.members.vocabulary) + 12
    member, arm, match = prepared.sizes.member, prepared.sizes.arm, prepared.sizes.match
    products = widths * 16 + 16 * member + member * arm + (member + 2 * arm + 12) * 16 + 16 * match + (member + 1 + arm + match) * len(prepared.rows.names)
    counted = step_flops(prepared.rows, prepared.sizes, SMALL)
    assert 6 * products - 2 * widths * 16 - 2 * 12 * 16 < counted < 2 * 6 * products


def test_the_peak_is_a_speed():
    """Between a slow core and a fast machine."""
    assert 1e8 < matmul_peak(CPU) < 1e15


def test_some_rows_are_rows(catalog):
    """As many as asked for, none twice."""
    rows = prepare(training_frame(catalog, 600), catalog, SMALL).rows
    drawn = some(rows, 100, 3)
    assert len(drawn) == 100
    assert len(torch.unique(drawn.dense, dim=0)) > 90


def test_the_command_prints_one_object(catalog, tmp_path, monkeypatch, capsys):
    """Everything that the figures need, consistent with each other; the world is a small one that was made before."""
    made = tmp_path / "rows-3000-seed-7.parquet"
    training_frame(catalog, 3000).to_parquet(made)
    world.sizes(made).write_text(json.dumps({"bytes": 2**21}))
    monkeypatch.setattr(module, "training_set", lambda rows, seed: world.training_set(rows, seed, tmp_path))
    assert commands.run(["train", "--rows", "3000", "--device", "cpu", "--turn-seconds", "0.1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["arms"], found["device"], found["training_set_mb"]) == (3000, 48, "cpu", 2)
    assert found["ratio"] == pytest.approx(found["rows_per_second"] / found["dataloader_rows_per_second"], rel=0.01)
    assert found["rows_timed"] % found["epochs"] == 0
    assert 0 < found["matmul_share"] < 1
    assert found["peak_rss_mb"] > 100


def test_what_follows_the_network_is_timed_to_its_end(catalog, tmp_path, monkeypatch):
    """The last line of progress is a posterior's; crosses and newcomers come after it. The plain loops' turns, about 2 s here, are on nobody's time."""
    made = tmp_path / "rows-3000-seed-7.parquet"
    training_frame(catalog, 3000).to_parquet(made)
    world.sizes(made).write_text(json.dumps({"bytes": 2**21}))
    monkeypatch.setattr(module, "training_set", lambda *_: made)

    def learn(prepared, training, seed, progress):
        for seconds in (0.1, 0.1, 0.3):
            sleep(seconds)
            progress("two epochs and a posterior")
        sleep(0.6)
        return SimpleNamespace(manifest={"epochs": [{}, {}]})

    monkeypatch.setattr(module, "learn", learn)
    found = module.measure(3000, 7, "cpu", 0.35)
    assert 0.9 <= found["posterior_seconds"] < 1.9
    assert found["fit_seconds"] == pytest.approx(found["encode_seconds"] + found["network_seconds"] + found["posterior_seconds"], abs=0.11)


def test_a_world_is_made_once(tmp_path):
    """Through the platform's own steps, of exactly so many decisions; the second time it is there."""
    path = world.training_set(2000, 5, tmp_path)
    stamp = path.stat().st_mtime_ns
    assert world.training_set(2000, 5, tmp_path) == path
    assert path.stat().st_mtime_ns == stamp
    assert json.loads(world.sizes(path).read_text())["bytes"] > 100_000
    assert module.read(path).shape[0] == 2000
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows-2000-seed-5.json", "rows-2000-seed-5.parquet"]


def test_a_world_that_cannot_be_made_says_why(tmp_path):
    """The process's own words, and nothing is kept: here no seed can be negative."""
    with pytest.raises(StepError, match=r"could not be made(.|\n)*expected non-negative integer"):
        world.training_set(2000, -5, tmp_path)
    assert not list(tmp_path.iterdir())


STOPPED = """
import sys
from pathlib import Path
from bench import commands
from bench.train import measure, world
from training.cli.main import main

measure.training_set = lambda rows, seed: world.training_set(rows, seed, Path(sys.argv[1]))
main(["bench", "train", "--rows", "2000"])
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda s: s.name)
@pytest.mark.parametrize("within", ["bench.train.world", "dbt_commands"])
def test_a_world_that_is_stopped_leaves_nothing(tmp_path, number, within):
    """`timeout` sends SIGTERM, which used to leave the half-made world behind, tens of MB of it; and dbt, if it ran by then, went on writing."""
    command = subprocess.Popen([sys.executable, "-c", STOPPED, str(tmp_path)], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    told = [next(line for line in command.stderr if line.startswith(f"  simulated day {2 if within == 'bench.train.world' else 56}"))]
    while not any(within in said for said in _running(tmp_path)):
        sleep(0.05)
    sleep(1)
    assert list(tmp_path.iterdir())
    command.send_signal(number)
    told += command.stderr.readlines()
    assert command.wait(30) == 130
    assert "everything that it started has ended" in told[-1]
    assert not _running(tmp_path)
    assert not list(tmp_path.iterdir())


def _running(folder):
    """Command lines of the processes that work in `folder`."""
    return [said for said in (_read(path) for path in Path("/proc").glob("[0-9]*/cmdline")) if str(folder) in said]


def _read(path):
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended
        return ""


def test_too_few_rows_are_refused():
    """Before anything is made."""
    with pytest.raises(ConfigError, match="Give --rows between"):
        commands.run(["train", "--rows", "10"])


@pytest.mark.parametrize("name", ["foo", "meta"])
def test_a_device_that_cannot_train_is_refused(monkeypatch, name):
    """Before anything is made too."""
    monkeypatch.setattr(module, "training_set", lambda *_: pytest.fail("a training set was made"))
    with pytest.raises(ConfigError, match=f"device '{name}'"):
        commands.run(["train", "--rows", "3000", "--device", name])
