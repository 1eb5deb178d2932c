"""One of several processes that train one model: `torchrun --nproc-per-node N -m training.model.worker FOLDER OWNER`, started by `parallel`.

FOLDER holds what `parallel.spill` wrote; rank 0 leaves the result there and prints the progress. Processes end by themselves when OWNER (a process id),
or the torchrun that started them, is gone.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import torch
from torch import distributed

from training.model import parallel
from training.model.optimise import train
from training.model.team import Gloo
from training.model.threads import steady

WATCH_SECONDS = 0.5


def main(folder: Path, owner: int) -> None:
    """Train with the others; a failure is left in FOLDER for the owner to tell."""
    threading.Thread(target=_watch, args=(owner, os.getppid()), daemon=True).start()
    steady()
    try:
        if torch.accelerator.is_available():
            torch.accelerator.set_device_index(int(os.environ["LOCAL_RANK"]) % torch.accelerator.device_count())
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        distributed.init_process_group("gloo", init_method=f"file://{folder / 'group'}", rank=rank, world_size=size)
        team = Gloo()
        job = parallel.read(folder)
        towers, epochs = train(job.rows, job.sizes, job.settings, job.seed, _tell if team.rank == 0 else _silent, team)
        if team.rank == 0:
            parallel.leave(folder, towers, epochs)
        distributed.destroy_process_group()
    except Exception as error:
        (folder / f"{parallel.FAILURE}.{os.environ['RANK']}").write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
        raise


def _watch(owner: int, starter: int) -> None:
    """End this process with its owner, or with the torchrun that started it."""
    while psutil.pid_exists(owner) and os.getppid() == starter:
        time.sleep(WATCH_SECONDS)
    os._exit(1)


def _tell(line: str) -> None:
    print(line, flush=True)


def _silent(line: str) -> None:
    del line


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
