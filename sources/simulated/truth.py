"""The known truth, for tests and benchmarks only: what every feasible arm would have done at each logged decision."""

from __future__ import annotations

from dataclasses import fields
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from sources.simulated.members import Members, draw_members, members_on
from sources.simulated.outcomes import Chances, Situation, chances
from sources.simulated.world import Floats, Ints, World, load_world
from training.domain.errors import DataError


def expected(truth_dir: Path, decisions: pa.Table | pd.DataFrame) -> dict[str, list[Floats]]:
    """P of each label for every feasible arm of each decision (columns decision_id, member_id, feasible_arms).

    Returns label -> one array a decision, aligned with its `feasible_arms`: `clicked`, `converted`, `dismissed`, `opted_out`, `lapsed` (the hazard that this
    decision makes the member leave for good) and `retained` = 1 - lapsed, which is relative: it leaves out what later decisions and mere
    silence do, but differences between arms are those of P(retained). State (fatigue, products owned) is the logged one at that decision.
    Raises DataError for a decision that the truth does not know.
    """
    flat, sizes = expected_flat(truth_dir, decisions)
    cuts = np.cumsum(sizes)[:-1]
    return {label: np.split(values, cuts) for label, values in flat.items()}


def expected_flat(truth_dir: Path, decisions: pa.Table | pd.DataFrame) -> tuple[dict[str, Floats], Ints]:
    """As `expected`, end to end in one array a label, with the number of arms of each decision."""
    frame = _columns(decisions)
    world, members = _world(str(truth_dir))
    known = _context(truth_dir, frame["decision_id"])
    arms = [list(a) for a in frame["feasible_arms"]]
    sizes = np.array([len(a) for a in arms], dtype=np.int64)
    index = {arm: k for k, arm in enumerate(world.arm_ids)}
    situation = Situation(
        member=np.repeat([int(m[1:]) for m in frame["member_id"]], sizes).astype(np.int64),
        arm=np.array([index[a] for row in arms for a in row], dtype=np.int64),
        messages=np.repeat(known["messages_7d"].to_numpy(), sizes),
        owned=np.repeat(known["owned"].to_numpy(), sizes),
    )
    c = _chances(world, members, situation, np.repeat([_day(i) for i in frame["decision_id"]], sizes))
    dismissed = (1.0 - c.clicked) * c.dismissed  # whoever clicks dismisses nothing
    labels = {"clicked": c.clicked, "converted": c.converted, "dismissed": dismissed, "opted_out": c.opted_out}
    return {**labels, "lapsed": c.lapsed, "retained": 1.0 - c.lapsed}, sizes


def _chances(world: World, members: Members, situation: Situation, day: np.ndarray) -> Chances:
    """The truth of each row on its day (a date): after the shift the members are others."""
    before = chances(world, members, situation)
    if world.shift_day is None:
        return before
    after = chances(world, members_on(world, members, world.shift_day), situation)
    late = day >= world.day(world.shift_day)
    return Chances(*(np.where(late, getattr(after, f.name), getattr(before, f.name)) for f in fields(Chances)))


def _day(decision_id: str) -> date:
    return date.fromisoformat(decision_id[1:9])


def _columns(decisions: pa.Table | pd.DataFrame) -> dict[str, list[Any]]:
    names = ("decision_id", "member_id", "feasible_arms")
    if isinstance(decisions, pd.DataFrame):
        return {name: decisions[name].tolist() for name in names}
    return {name: decisions.column(name).to_pylist() for name in names}


def _context(truth_dir: Path, ids: list[Any]) -> pd.DataFrame:
    days = sorted({f"{i[1:5]}-{i[5:7]}-{i[7:9]}" for i in ids})
    paths = [truth_dir / "situations" / f"day={day}" / "part.parquet" for day in days]
    missing = [p for p in paths if not p.is_file()]
    if missing:
        raise DataError(
            f"The truth has no {missing[0]}: these decisions are of another world, or the truth was not kept. Run `python -m sources.simulated` again."
        )
    if not paths:
        return pd.DataFrame(columns=["messages_7d", "owned"], dtype=np.int64)
    known = ds.dataset(paths).to_table().to_pandas().set_index("decision_id").reindex(ids)
    unknown = int(known["owned"].isna().sum())
    if unknown:
        raise DataError(f"The truth does not know {unknown} of these decisions: they are of another world. Give the truth folder of this one.")
    whole: pd.DataFrame = known.astype(np.int64)
    return whole


@lru_cache(maxsize=2)
def _world(truth_dir: str) -> tuple[Any, Any]:
    world = load_world(Path(truth_dir))
    return world, draw_members(world)
