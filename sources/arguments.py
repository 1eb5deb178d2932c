"""The command line that every source understands, so that one caller can run any of them."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """`python -m sources.NAME` with the options that all sources take; one that means nothing to a source is accepted and has no effect."""
    p = argparse.ArgumentParser(prog=f"python -m sources.{name}", description=description)
    p.add_argument("--out", type=Path, required=True, help="inbox to write TABLE/day=YYYY-MM-DD/part.parquet into")
    p.add_argument("--truth", type=Path, required=True, help="folder for what only tests and benchmarks may read (simulated)")
    p.add_argument("--catalog", type=Path, required=True, help="folder of the four seeds")
    p.add_argument("--members", type=int, default=20_000, help="members of the world (simulated)")
    p.add_argument("--days", type=int, default=56, help="days of history; more than before extends the same world (simulated)")
    p.add_argument("--seed", type=int, default=7, help="everything random follows from it (simulated)")
    p.add_argument("--start", type=date.fromisoformat, default=date(2026, 1, 5), help="first day of the history")
    p.add_argument("--shift-day", type=int, default=None, help="day index from which on members need something else; default: never (simulated)")
    p.add_argument("--data", type=Path, default=None, help="file to import (hillstrom)")
    return p
