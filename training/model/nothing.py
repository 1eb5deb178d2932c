"""What a model expects of members to whom nothing is shown: predictions that are fixed before a live experiment shows them anything."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from training.domain.catalog import Catalog
from training.domain.nouns import NONE
from training.domain.schema import ARM_NUMERIC
from training.model.matching import MatchingModel


def shown_nothing(model: MatchingModel, frame: pd.DataFrame, catalog: Catalog) -> dict[str, npt.NDArray[np.float64]]:
    """P(label | member, `none`) by label of each row of `frame`: member_id, decided_at, surface and the member's features, NaN where unknown.

    Raises DataError for a missing column.
    """
    rates = dict.fromkeys((f"arm_{name}" for name in ARM_NUMERIC), np.nan)
    rows = frame.assign(arm_id=NONE, day=pd.to_datetime(frame["decided_at"], utc=True).dt.date, **rates)
    return {label.value: p for label, p in model.predict(rows, catalog).items()}
