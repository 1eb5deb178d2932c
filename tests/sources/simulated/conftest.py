"""One small world for the tests of this folder: 3,000 members, 56 days."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sources.simulated.__main__ import generate
from sources.simulated.world import build_world, save_world
from training.domain.catalog import load_catalog

ROOT = Path(__file__).parents[3]
SEEDS = ROOT / "dbt" / "seeds" / "simulated"
START = date(2026, 1, 5)


@dataclass(frozen=True)
class Written:
    """A world on disk; `table` reads all rows of one raw table."""

    inbox: Path
    truth: Path
    members: int
    days: int

    def table(self, name: str) -> pd.DataFrame:
        """All days of a raw table, in order."""
        return pa.concat_tables([pq.read_table(f, partitioning=None) for f in sorted(self.inbox.glob(f"{name}/day=*/part.parquet"))]).to_pandas()


def write(folder: Path, members: int, days: int, seed: int) -> Written:
    """Generate (or extend) a world in `folder`."""
    world = build_world(seed, members, START, load_catalog(SEEDS))
    save_world(world, folder / "truth", SEEDS)
    for _ in generate(world, days, folder / "inbox", folder / "truth"):
        pass
    return Written(folder / "inbox", folder / "truth", members, days)


@pytest.fixture(name="write", scope="session")
def _write() -> Callable[[Path, int, int, int], Written]:
    """The function that writes worlds."""
    return write


@pytest.fixture(scope="session")
def world(tmp_path_factory) -> Written:
    """The shared world; read only."""
    return write(tmp_path_factory.mktemp("world"), 3_000, 56, 11)


@pytest.fixture(scope="session")
def decisions(world) -> pd.DataFrame:
    """Its decisions with `day` (0 is the first), four labels (linked by id, mature or not) and the three factors of the arm."""
    frame, outcomes = world.table("decisions"), world.table("outcomes")
    frame["day"] = (frame.decided_at - pd.Timestamp(START, tz="UTC")).dt.days
    for label, kind in (("converted", "conversion"), ("clicked", "click"), ("opted_out", "opt_out"), ("dismissed", "dismiss")):
        frame[label] = frame.decision_id.isin(set(outcomes.decision_id[outcomes.kind == kind]))
    factors = frame.chosen_arm.str.split(".", expand=True)
    return frame.assign(product=factors[0], creative=factors[1].fillna("none"), channel=factors[2].fillna("none"))
