"""One run: the platform trains on a million logged decisions as `train` does, and between its epochs the plain loop gets its turns."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.train.loader import PlainLoop
from bench.train.world import sizes, training_set
from training.config.settings import Settings, TrainingSettings
from training.domain.catalog import load_catalog
from training.model.device import CPU, device
from training.model.fit import learn, prepare
from training.model.fused import network
from training.model.optimise import Learner, batch_rows
from training.model.rows import Rows
from training.model.team import Alone
from training.model.threads import steady
from training.model.towers import Sizes, Towers
from training.steps.train import read

TURNS = 4
"""Epochs after which the plain loops get a turn."""
LOADED = 65_536
"""Rows that the plain loops go over again and again; fewer than the platform's, which favours them."""
SQUARE = 1024
"""Side of the matrices whose product is the machine's peak."""
MB = 2**20


@dataclass
class Clock:
    """Called at the end of each epoch and posterior: takes the time, then lets `turn` run off the clock. It never looks at what it is told; of work that goes
    on after its last call, `since_made` has the time.
    """

    turn: Callable[[], None]
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    started: float = field(default_factory=perf_counter)
    busy: float = field(default_factory=process_time)
    made: float = field(default_factory=perf_counter)
    away: float = 0.0

    @property
    def since_made(self) -> float:
        """Seconds until now, less those that were off the clock."""
        return perf_counter() - self.made - self.away

    def __call__(self, line: str) -> None:
        """Show the line."""
        left = perf_counter()
        self.seconds.append(left - self.started)
        self.cpu_seconds.append(process_time() - self.busy)
        print(line, file=sys.stderr, flush=True)
        if len(self.seconds) <= TURNS:
            self.turn()
        self.started, self.busy = perf_counter(), process_time()
        self.away += self.started - left


def measure(rows: int, seed: int, where: str, turn_seconds: float) -> dict[str, Any]:
    """Everything that `rightmatch bench train` reports. One thread; each plain loop trains for `turn_seconds` after each of the first TURNS epochs.

    Raises ConfigError for a device that is not here.
    """
    steady()
    chosen = device(where)  # before a minute is spent on the training set
    path = training_set(rows, seed)
    settings, started = Settings(source="simulated"), perf_counter()
    training = settings.training.model_copy(update={"device": where, "processes": 1})
    prepared = prepare(read(path), load_catalog(settings.catalog), training)
    encoded = perf_counter() - started
    print(f"{rows:,} decisions encoded in {encoded:.1f} s: {prepared.rows.bytes / MB:.0f} MB", file=sys.stderr, flush=True)
    learned = int((~prepared.rows.kept_back).sum())
    grown = training.model_copy(update={"batch": batch_rows(training.batch, learned)})
    loops = [PlainLoop(some(prepared.rows, LOADED, seed), prepared.sizes, grown, seed, narrow=narrow) for narrow in (False, True)]
    peaks: list[float] = []

    def turn() -> None:
        for loop in loops:
            loop.run(turn_seconds)
        peaks.append(matmul_peak(chosen))

    clock = Clock(turn)
    model = learn(prepared, training, seed, clock)
    learn_seconds, epochs = clock.since_made, len(model.manifest["epochs"])
    network_seconds = sum(clock.seconds[:epochs])
    speed, flops = learned * epochs / network_seconds, step_flops(prepared.rows, prepared.sizes, grown)
    plain, narrow = (loop.rows / loop.seconds for loop in loops)
    per_cpu_second = learned * epochs / sum(clock.cpu_seconds[:epochs])
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    whole = json.loads(sizes(path).read_text(encoding="utf-8"))["bytes"] / MB
    return {
        "rows": rows,
        "arms": len(load_catalog(settings.catalog).arms),
        "seed": seed,
        "device": str(chosen),
        "batch": grown.batch,
        "epochs": epochs,
        "rows_timed": learned * epochs,
        "rows_per_second": round(speed),
        "dataloader_rows_timed": loops[0].rows,
        "dataloader_rows_per_second": round(plain),
        "ratio": round(speed / plain, 2),
        "rows_per_cpu_second": round(per_cpu_second),
        "cpu_ratio": round(per_cpu_second * loops[0].cpu_seconds / loops[0].rows, 2),
        "narrow_dataloader_rows_timed": loops[1].rows,
        "narrow_dataloader_rows_per_second": round(narrow),
        "narrow_ratio": round(speed / narrow, 2),
        "peak_rss_mb": round(resident),
        "training_set_mb": round(whole),
        "peak_over_training_set": round(resident / whole, 2),
        "tensors_mb": round(prepared.rows.bytes / MB),
        "matmul_flops_per_row": round(flops),
        "matmul_peak_gflops": round(max(peaks) / 1e9, 1),
        "matmul_share": round(speed * flops / max(peaks), 3),
        "encode_seconds": round(encoded, 1),
        "network_seconds": round(network_seconds, 1),
        "posterior_seconds": round(learn_seconds - network_seconds, 1),
        "fit_seconds": round(encoded + learn_seconds, 1),
    }


def some(rows: Rows, count: int, seed: int) -> Rows:
    """At most `count` rows, drawn without replacement."""
    drawn = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:count]
    return Rows(rows.numbers, *rows.batch(drawn), rows.kept_back[drawn], rows.kinds, rows.names)


def step_flops(rows: Rows, sizes_: Sizes, settings: TrainingSettings) -> float:
    """Floating-point operations of all matrix products of one step, forward and backward, by torch's own count, a row of the batch."""
    batch = torch.arange(min(settings.batch, len(rows)))
    learner = Learner(rows, network(Towers(sizes_), rows, torch.Generator().manual_seed(1)), settings, Alone())
    with FlopCounterMode(display=False) as counter:
        learner.step(batch, torch.zeros(len(batch), dtype=torch.bool), torch.ones(len(rows.names)))
    return float(counter.get_total_flops()) / len(batch)


def matmul_peak(where: torch.device) -> float:
    """Floating-point operations a second of the best of several float32 products of SQUARE matrices on this device (one thread on the CPU)."""
    a, b = (torch.randn(SQUARE, SQUARE, generator=torch.Generator().manual_seed(i)).to(where) for i in (1, 2))
    times = []
    for _ in range(12):
        started = perf_counter()
        a @ b
        if where != CPU:
            torch.accelerator.synchronize()
        times.append(perf_counter() - started)
    return float(2 * SQUARE**3 / min(times))
