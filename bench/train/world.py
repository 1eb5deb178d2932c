"""Logged decisions of the simulated world as the platform's own training set: simulated, landed, built by dbt, joined by Feast.

    python -m bench.train.world ROWS SEED HOME TARGET

A process of its own, so that what these tools take counts for nothing in the memory of training.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from training.cli.stopping import stoppable
from training.config.settings import ROOT
from training.domain.errors import StepError

CACHE = ROOT / "var" / "bench" / "train"
DAYS, START = 56, date(2026, 1, 5)
DECISIONS = 17.0
"""Decisions of a member in DAYS days that have a mature label, a little fewer than measured."""


def training_set(rows: int, seed: int, cache: Path = CACHE) -> Path:
    """A training set of exactly `rows` decisions, made once and kept. Raises StepError with what the tools said if it cannot be made."""
    target = cache / f"rows-{rows}-seed-{seed}.parquet"
    if target.is_file():
        return target
    told = f"Making {rows:,} decisions of the simulated world by the platform's steps (about 75 s a million), kept as {target}"
    print(told, file=sys.stderr, flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="world-", dir=cache) as home:
        command = [sys.executable, "-m", "bench.train.world", str(rows), str(seed), home, str(target)]
        made = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
        lines = _shown(made)
    if made.returncode:
        raise StepError("The training set could not be made, so nothing was timed:\n" + "\n".join(lines[-15:]))
    return target


def _shown(process: subprocess.Popen[str]) -> list[str]:
    """Its lines, each one shown on standard error too; it and what it started (dbt) have ended by then, whatever happens here."""
    lines = []
    try:
        for line in process.stdout or ():
            lines.append(line.rstrip())
            print(f"  {lines[-1]}", file=sys.stderr, flush=True)
    finally:
        if sys.exc_info()[0]:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
        process.wait()
    return lines


def make(rows: int, seed: int, home: Path, target: Path) -> None:
    """Write the first `rows` decisions of a world in `home` that is large enough, and beside them how large they are in memory, as Arrow keeps them."""
    from sources.simulated.__main__ import generate
    from sources.simulated.world import build_world, save_world
    from training.bootstrap import platform
    from training.config.settings import Settings
    from training.domain.catalog import load_catalog
    from training.steps import land, transform, validate
    from training.steps import training_set as step

    settings = Settings(home=home, source="simulated", members=max(300, round(rows / DECISIONS)), days=DAYS, seed=seed)
    world = build_world(seed, settings.members, START, load_catalog(settings.catalog))
    save_world(world, settings.home / "truth", settings.catalog)
    for index, _ in generate(world, DAYS, settings.inbox, settings.home / "truth"):
        print(f"simulated day {index + 1} of {DAYS}", flush=True)
    day, tools = world.day(DAYS - 1), platform(settings)
    land.run(day, settings, tools)
    transform.run(day, settings, tools)
    validate.run(day, settings, tools)
    tools.features.apply()
    table = pq.read_table(step.run(day, settings, tools).path)
    if table.num_rows < rows:
        raise StepError(f"The world of {settings.members} members has only {table.num_rows} decisions, {rows} were asked for. Ask for fewer.")
    _write(table.slice(0, rows), target)


def _write(table: pa.Table, target: Path) -> None:
    aside = target.with_name(f".{target.name}.new")
    pq.write_table(table, aside, compression="zstd")
    sizes(target).write_text(json.dumps({"bytes": table.nbytes}), encoding="utf-8")
    aside.replace(target)


def sizes(target: Path) -> Path:
    """Where the size of a training set in memory is kept."""
    return target.with_suffix(".json")


if __name__ == "__main__":
    with stoppable():  # so that it waits for dbt, which would go on writing
        make(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]))
