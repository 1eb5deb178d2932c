"""Training by several processes of this machine: the rows go to a folder that all of them map, torchrun starts them, the result comes back.

Each process takes its share of every batch, gradients are summed (gloo), and every label's loss is divided by the mature rows of the *whole* batch, so
that the steps are those of one process whatever the shares hold. Apart from rounding, that is, which in a long training turns a ReLU sooner or later
and leads two trainings apart; one process with `settings.parts` = 2 adds up as two do, and gives their bytes.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from safetensors.torch import load_file, save_file

from training.config.settings import ROOT, TrainingSettings
from training.domain.errors import StepError
from training.model.funnel import Stage
from training.model.optimise import Epoch, Progress, train
from training.model.rows import Batch, Kinds, Rows
from training.model.towers import Sizes, Towers

ROWS, JOB, TOWERS, EPOCHS, FAILURE = "rows.safetensors", "job.json", "towers.safetensors", "epochs.json", "failure"
GRACE_SECONDS = 10.0
TOLD_LINES = 15


@dataclass(frozen=True)
class Job:
    """What each process is given."""

    rows: Rows
    sizes: Sizes
    settings: TrainingSettings
    seed: int


def train_together(rows: Rows, sizes: Sizes, settings: TrainingSettings, seed: int, progress: Progress) -> tuple[Towers, list[Epoch]]:
    """As `optimise.train`, by `settings.processes` processes; with one it is that very function.

    Raises StepError with what the first process to fail said; no process is left behind, whatever happens here.
    """
    if settings.processes == 1:
        return train(rows, sizes, settings, seed, progress)
    with tempfile.TemporaryDirectory(prefix="rightmatch-training-") as name:
        folder = Path(name)
        spill(Job(rows, sizes, settings, seed), folder)
        launch(folder, settings.processes, progress)
        towers = Towers(sizes)
        towers.load_state_dict(load_file(folder / TOWERS))
        found = json.loads((folder / EPOCHS).read_text(encoding="utf-8"))
        return towers.eval(), [Epoch(e["learned"], tuple(e["kept_back"])) for e in found]


def spill(job: Job, folder: Path) -> None:
    """Write `job` for `read`."""
    rows = job.rows
    columns = Batch(rows.dense, rows.codes, rows.arm, rows.rates, rows.labels)._asdict()
    kinds = {f"kinds.{name}": part for name, part in rows.kinds._asdict().items()}
    save_file({name: t.contiguous() for name, t in {**columns, **kinds, "kept_back": rows.kept_back}.items()}, folder / ROWS)
    about = {"numbers": rows.numbers, "names": rows.names, "sizes": asdict(job.sizes), "settings": job.settings.model_dump(mode="json"), "seed": job.seed}
    (folder / JOB).write_text(json.dumps(about), encoding="utf-8")


def read(folder: Path) -> Job:
    """What `spill` wrote; the rows are mapped, so that all processes share one copy in memory."""
    about, tensors = json.loads((folder / JOB).read_text(encoding="utf-8")), load_file(folder / ROWS)
    batch, kinds = Batch(*(tensors[name] for name in Batch._fields)), Kinds(*(tensors[f"kinds.{name}"] for name in Kinds._fields))
    rows = Rows(about["numbers"], *batch, tensors["kept_back"], kinds, tuple(Stage(name) for name in about["names"]))
    sizes: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in about["sizes"].items()}
    return Job(rows, Sizes(**sizes), TrainingSettings(**about["settings"]), about["seed"])


def leave(folder: Path, towers: Towers, epochs: list[Epoch]) -> None:
    """Write the result of training."""
    save_file(towers.state_dict(), folder / TOWERS)
    (folder / EPOCHS).write_text(json.dumps([asdict(e) for e in epochs]), encoding="utf-8")


def launch(folder: Path, processes: int, progress: Progress) -> None:
    """Let torchrun train what lies in `folder`, and wait. The processes meet in files of that folder and talk on free ports of the loopback device."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(processes), "--max-restarts", "0", "--local-addr", "127.0.0.1"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", str(folder / "meeting"), "--rdzv-conf", "store_type=file", "--rdzv-id", folder.name]
    command += ["-m", "training.model.worker", str(folder), str(os.getpid())]
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    loopback = next(name for _, name in socket.if_nameindex() if name in {"lo", "lo0"})
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, "GLOO_SOCKET_IFNAME": loopback, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    with (folder / "stderr").open("w+", encoding="utf-8") as told:
        torchrun = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=told, text=True)
        try:
            for line in torchrun.stdout or ():
                progress(line.rstrip())
            code = torchrun.wait()
        finally:
            _end(torchrun)
    if code or not (folder / EPOCHS).is_file():
        raise StepError(
            f"Training by {processes} processes failed (torchrun ended with {code}), so there is no new model:\n{_why(folder)}\n"
            "Correct what it says and rerun, or set training.processes = 1: one process gives the same model."
        )


def _why(folder: Path) -> str:
    """What the processes that failed said; without any, the end of torchrun's own words."""
    said = [path.read_text(encoding="utf-8").strip() for path in sorted(folder.glob(f"{FAILURE}.*"))]
    lines = (folder / "stderr").read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return "\n".join(dict.fromkeys(said)) or "\n".join(lines[-TOLD_LINES:])


def _end(torchrun: subprocess.Popen[str]) -> None:
    """Stop torchrun, which stops its processes; after the grace, kill what is left of them."""
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        leader = psutil.Process(torchrun.pid)
        family = [leader, *leader.children(recursive=True)]
        torchrun.terminate()
    _, left = psutil.wait_procs(family, timeout=GRACE_SECONDS)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    torchrun.wait()
