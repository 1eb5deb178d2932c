"""A world in which the ledger says who decides for whom: every version is a simple policy of known effect, and the running experiment assigns the members.

Decisions reach the marts as those of users do: raw rows, then the platform's own SQL (`warehouse`). What the groups were truly worth is kept day by day.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bench.world.loop import Stage
from bench.world.score import Worth, worth
from bench.world.warehouse import Warehouse
from sources.simulated.day import simulate_day
from sources.simulated.members import member_ids
from sources.simulated.policy import Asked, Chosen, Menus, draw
from sources.simulated.world import Floats
from training.adapters.parquet import write_parquet
from training.adapters.ports import ModelRegistry, Platform
from training.config.settings import Settings
from training.domain.aliases import ANCHOR, CHAMPION
from training.domain.assignment import Group, Split
from training.domain.schema import DECISION_OUTCOMES, MEMBER_FEATURES

EXPLORED, SILENT = 0.1, 0.25
"""Share of the decisions in which keen and pressing policies do as the gentle one does, and in which the keen one shows nothing."""
MONTH = 28
"""Days over which staying is reported: the label's."""


class Manner(StrEnum):
    """How a version decides."""

    GENTLE = "gentle"
    """Any arm that does not press, `none` too, all alike."""
    KEEN = "keen"
    """The arm of the highest true utility among those of the gentle one, or nothing: it sells more and sends fewer messages."""
    PRESSING = "pressing"
    """A creative that presses, where there is one: it sells more and members leave."""
    RANDOM = "random"
    """Every feasible arm alike."""


def register(registry: ModelRegistry, manner: Manner, name: str, folder: Path) -> str:
    """A version that decides in `manner`, written to `folder` first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manner.json").write_text(json.dumps({"manner": manner.value}), encoding="utf-8")
    return registry.register(folder, {"run_id": name})


def manner_of(folder: Path) -> Manner:
    """That of a registered version."""
    return Manner(json.loads((folder / "manner.json").read_text(encoding="utf-8"))["manner"])


def probabilities(manner: Manner, pressing: npt.NDArray[np.bool_], truth: Worth) -> Floats:
    """[n, widest menu] of each arm of each menu; `pressing` says which arms press."""
    gentle = _alike(truth.feasible & ~pressing)
    match manner:
        case Manner.GENTLE:
            return gentle
        case Manner.RANDOM:
            return _alike(truth.feasible)
        case Manner.KEEN:
            best = np.eye(pressing.shape[1])[np.where(gentle > 0.0, truth.utility, -np.inf).argmax(axis=1)]
            nothing = _alike(truth.feasible & (truth.messages == 0.0))
            return np.asarray(EXPLORED * gentle + SILENT * nothing + (1.0 - EXPLORED - SILENT) * best)
        case Manner.PRESSING:
            some = pressing.any(axis=1, keepdims=True)
            return np.where(some, EXPLORED * gentle + (1.0 - EXPLORED) * _alike(pressing), gentle)


def _alike(arms: npt.NDArray[np.bool_]) -> Floats:
    return np.asarray(arms / np.maximum(arms.sum(axis=1, keepdims=True), 1))


@dataclass
class LiveWorld:
    """One history from the warm-up in `stage` on. `worth` holds for each day and group: members there, decisions, expected conversions, lapses, opt-outs."""

    stage: Stage
    warehouse: Warehouse
    settings: Settings
    platform: Platform
    worth: dict[date, dict[Group, dict[str, float]]] = field(default_factory=dict)
    _groups: tuple[tuple[Split, float], npt.NDArray[np.object_]] | None = None

    def __post_init__(self) -> None:
        self.state = self.stage.state

    @property
    def today(self) -> date:
        """The last day that was played."""
        return self.stage.world.day(self.state.day)

    def play(self) -> None:
        """The next day: decided as the ledger says at its midnight, landed and built."""
        world, day = self.stage.world, self.stage.world.day(self.state.day + 1)
        groups, versions = self._assigned(day), self._versions()
        there = ~self.state.lapsed & (self.stage.members.joined_day <= self.state.day)
        present = {group: float((there & (groups == group)).sum()) for group in Group}
        decided = np.empty(0, dtype=object)

        def policy(menus: Menus, asked: Asked) -> Chosen:
            nonlocal decided
            decided = groups[asked.member]
            truth = worth(world, self.stage.members, menus, asked, self.settings.utility)
            arms = menus.arms[asked.menu]
            pressing = world.conflict[arms] & (arms >= 0)
            manners = {group: manner_of(self.platform.registry.fetch(version)) if version else Manner.RANDOM for group, version in versions.items()}
            each = {manner: probabilities(manner, pressing, truth) for manner in set(manners.values())}
            found = np.zeros(arms.shape)
            for group in Group:
                rows = decided == group
                found[rows] = each[manners[group]][rows]
            self.worth[day] = _expected(truth, found, decided, present)
            return draw(menus, asked, found, "")

        self.state, tables, _ = simulate_day(world, self.stage.members, self.stage.menus, self.state, policy)
        tables["decisions"] = _signed(tables["decisions"], decided, versions)
        self.warehouse.land(day, tables)
        self.warehouse.build(day)

    def publish(self) -> None:
        """Write the marts that live judging reads."""
        for table in (MEMBER_FEATURES, DECISION_OUTCOMES):
            rows = self.warehouse.ask(f"select {', '.join(table.names)} from {table.name} order by day")  # noqa: S608 - names of our schema
            write_parquet(rows, self.settings.marts / f"{table.name}.parquet")

    def truth(self, first: date, last: date) -> dict[str, dict[str, float]]:
        """By group: conversions and opt-outs a decision, and the share that stays for MONTH days, as expected from `first` to `last`."""
        days = [sums for day, sums in self.worth.items() if first <= day <= last]
        return {group.value: _rates([sums[group] for sums in days]) for group in Group if days}

    def _assigned(self, day: date) -> npt.NDArray[np.object_]:
        """The group of each member on `day`, by the ledger's running experiment."""
        split = self.settings.experiment.split(self.platform.experiments.running())
        key = split, split.share(day)
        if self._groups is None or self._groups[0] != key:
            ids = member_ids(np.arange(self.stage.world.members)).to_pylist()
            self._groups = key, np.array([split.group(member, day) for member in ids], dtype=object)
        return self._groups[1]

    def _versions(self) -> Mapping[Group, str | None]:
        """Who decides for each group; None: every arm alike."""
        registry, running = self.platform.registry, self.platform.experiments.running()
        champion = registry.peek(CHAMPION)
        return {
            Group.CHAMPION: champion,
            Group.CHALLENGER: running.challenger if running else champion,
            Group.HOLDBACK: registry.peek(ANCHOR) or champion,
            Group.CONTROL: None,
        }


def _expected(truth: Worth, p: Floats, decided: npt.NDArray[np.object_], present: Mapping[Group, float]) -> dict[Group, dict[str, float]]:
    found = {}
    for group in Group:
        rows = decided == group
        sums = {name: float((p * getattr(truth, name))[rows].sum()) for name in ("conversion", "lapse", "opt_out")}
        found[group] = {"present": present[group], "decisions": float(rows.sum()), **sums}
    return found


def _rates(days: list[dict[str, float]]) -> dict[str, float]:
    decisions = max(sum(d["decisions"] for d in days), 1.0)
    leaving = [d["lapse"] / max(d["present"], 1.0) for d in days]
    stays = float(np.prod([1.0 - hazard for hazard in leaving]) ** (MONTH / max(len(leaving), 1)))
    return {"conversion": sum(d["conversion"] for d in days) / decisions, "opt_out": sum(d["opt_out"] for d in days) / decisions, "stays": stays}


def _signed(decisions: pa.Table, decided: npt.NDArray[np.object_], versions: Mapping[Group, str | None]) -> pa.Table:
    """With the group and the version of each decision."""
    groups = pa.array([group.value for group in decided], pa.string())
    place = decisions.column_names.index("assignment_group")
    return decisions.set_column(place, "assignment_group", groups).append_column("model_version", pa.array([versions[g] for g in decided], pa.string()))
