"""What a played world remembers beside its truth, in `truth/played/`: where the service took over, the state after the last day, and every answer.

`day=YYYY-MM-DD/part.parquet` has one row a decision: the world's own id of it, the service's, the arm, its propensity, the reason, the model.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sources.simulated.play_client import Answer
from sources.simulated.state import State, load_state, save_state
from sources.simulated.world import World
from sources.write import write_file
from training.domain.errors import ConfigError

REMEMBERED = 14
"""Days after which nothing follows from a decision any more: a purchase comes within 13."""


@dataclass(frozen=True)
class Kept:
    """The folder, and the index of the first day that the service decided."""

    folder: Path
    first: int


def played_from(truth: Path) -> int | None:
    """Index of the first day that a service decided, None where the whole history is the logging policy's."""
    path = truth / "played" / "first.json"
    return int(json.loads(path.read_text(encoding="utf-8"))["day"]) if path.is_file() else None


def resume(world: World, truth: Path) -> tuple[Kept, State]:
    """The state to go on from, as it was kept after the last whole day. Raises ConfigError if the world's history was not written to its end."""
    folder = truth / "played"
    first, state = played_from(truth), load_state(folder) if (folder / "state.npz").is_file() else load_state(truth)
    if state is None or (first is not None and state.day < first - 1):
        raise ConfigError(
            f"{truth} has no state of its world of {world.members:,} members to go on from: its history is missing or was cut off. "
            "Run `rightmatch run` to its end first."
        )
    kept = Kept(folder, state.day + 1 if first is None else first)
    folder.mkdir(exist_ok=True)
    aside = folder / "first.json.new"
    aside.write_text(json.dumps({"day": kept.first, "date": world.day(kept.first).isoformat()}) + "\n", encoding="utf-8")
    aside.replace(folder / "first.json")
    return kept, state


def served_ids(world: World, kept: Kept, day: int) -> dict[str, str]:
    """The service's id of each decision that something can still follow from, by the world's own."""
    known: dict[str, str] = {}
    for d in range(max(kept.first, day - REMEMBERED), day):
        rows = pq.read_table(_file(world, kept, d), columns=["decision_id", "served_id"], partitioning=None)
        known.update(zip(rows["decision_id"].to_pylist(), rows["served_id"].to_pylist(), strict=True))
    return known


def keep(world: World, kept: Kept, ids: list[str], answers: list[Answer], state: State) -> None:
    """Write the day's answers, then its state, which ends the day."""
    columns = {name: [getattr(a, name) for a in answers] for name in ("arm", "propensity", "reason", "model_version")}
    text = dict.fromkeys(("decision_id", "served_id", "arm", "reason", "model_version"), pa.string()) | {"propensity": pa.float64()}
    schema = pa.schema(text)
    rows = {"decision_id": ids, "served_id": [a.decision_id for a in answers], **columns}
    write_file(_file(world, kept, state.day), pa.table({name: rows[name] for name in schema.names}, schema=schema))
    save_state(state, kept.folder)


def _file(world: World, kept: Kept, day: int) -> Path:
    return kept.folder / f"day={world.day(day).isoformat()}" / "part.parquet"
