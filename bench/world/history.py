"""What a learner may know: the training set as of a midnight, and the features of the decisions to come. Labels and features are the SQL's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa

from bench.world.warehouse import Warehouse
from sources.simulated.members import member_ids, times
from sources.simulated.policy import SURFACES, Asked, Menus
from sources.simulated.world import World
from training.adapters.feast_store import feature_names
from training.domain.nouns import NONE, Label
from training.domain.schema import ARM_FEATURES, ARM_NUMERIC, DECISION_OUTCOMES, MEMBER_FEATURES
from training.steps.training_set import as_known, attach

_MEMBER = ", ".join(f"m.{name}" for name in feature_names(MEMBER_FEATURES))
_ARM = ", ".join(f"a.{name} as arm_{name}" for name in feature_names(ARM_FEATURES))
_DECISIONS = f"select {', '.join(DECISION_OUTCOMES.names)} from {DECISION_OUTCOMES.name}"  # noqa: S608 - names of our schema
_JOINED = f"""
select {_MEMBER}, {_ARM} from decided as d
left join {MEMBER_FEATURES.name} as m on m.member_id = d.member_id and m.day = cast(d.decided_at as date) - 1
left join {ARM_FEATURES.name} as a on a.arm_id = d.arm_id and a.day = cast(d.decided_at as date) - 1
order by d.place
"""  # noqa: S608 - as above
"""Features of day D are known at the midnight that ends it, so a decision sees those of the day before: what the platform's point-in-time join finds."""


@dataclass(frozen=True)
class History:
    """One policy's log and features. `window` is how many days are learned from."""

    world: World
    menus: Menus
    warehouse: Warehouse
    window: int

    def training(self, day: date) -> pd.DataFrame:
        """The training set as of the end of `day`, in the columns of the step `training_set`."""
        end = _end(day)
        return self._joined(as_known(self.warehouse.ask(_DECISIONS), end - timedelta(days=self.window), end))

    def matured(self, label: Label, day: date) -> pd.DataFrame:
        """The decisions whose `label` became mature on `day`: after the midnight before, at or before the one that ends it."""
        end = f"timestamptz '{_end(day).isoformat()}'"
        column = f"{label.value}_matured_at"
        fresh = f"{_DECISIONS} where {column} <= {end} and {column} > {end} - interval 1 day and {label.value} is not null"
        return self._joined(self.warehouse.ask(f"{fresh} order by decided_at, decision_id"))

    def upcoming(self, asked: Asked) -> pd.DataFrame:
        """The decisions of `asked` with what is known of their members. The arm is still open (`none` stands for it)."""
        menu = [np.array(row, dtype=object) for row in self._menus(asked)]
        decided = pa.table(
            {
                "decision_id": pa.array([f"u{i}" for i in range(len(menu))]),
                "member_id": member_ids(asked.member),
                "decided_at": times(asked.at),
                "surface": pa.array([s.value for s in SURFACES]).take(pa.array(asked.surface)),
                "arm_id": pa.array([NONE] * len(menu)),
            }
        )
        frame = self._joined(decided).assign(feasible_arms=pd.Series(menu, dtype=object), day=self.world.day(asked.day))
        return frame.assign(**{f"arm_{name}": np.nan for name in ARM_NUMERIC})

    def arms(self, day: date) -> dict[str, dict[str, object]]:
        """ARM_NUMERIC by arm id, as they were known at the end of `day`."""
        columns = ", ".join(("arm_id", *ARM_NUMERIC))
        found = self.warehouse.ask(f"select {columns} from {ARM_FEATURES.name} where day = date '{day.isoformat()}'")  # noqa: S608 - names of our schema
        return {row["arm_id"]: row for row in found.to_pylist()}

    def _menus(self, asked: Asked) -> list[list[str]]:
        names = [[self.world.arm_ids[k] for k in row if k >= 0] for row in self.menus.arms]
        return [names[m] for m in asked.menu]

    def _joined(self, decisions: pa.Table) -> pd.DataFrame:
        keys = decisions.select(["member_id", "arm_id", "decided_at"]).append_column("place", pa.array(np.arange(decisions.num_rows)))
        found = self.warehouse.ask(_JOINED, decided=keys).to_pandas()
        frame: pd.DataFrame = attach(decisions, found).to_pandas()
        return frame


def _end(day: date) -> datetime:
    return datetime.combine(day + timedelta(days=1), time(), UTC)
