"""Rows with what to expect of them, and what is measured on rows to know what to expect."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from training.adapters.expectations_schema import Check, Summary, answered
from training.domain.labels import OUTCOME_WINDOWS
from training.domain.schema import Table


@dataclass(frozen=True)
class Suite:
    """`rows` of `table` and their checks; `title` names the suite in Data Docs, once."""

    title: str
    table: Table
    rows: pd.DataFrame
    checks: list[Check]


def summary(rows: pd.DataFrame) -> Summary:
    """Number of rows and share of values that are not NULL, by column."""
    return Summary(len(rows), {str(name): float(share) for name, share in rows.notna().mean().fillna(0.0).items()})


def mature_labels(decisions: pd.DataFrame) -> tuple[pd.DataFrame, list[Check]]:
    """Each label as a number, NULL while it is immature by its own instant, and the checks of those of which enough are mature."""
    mature = {name: decisions[f"{name}_matured_at"] <= decisions["as_of"] for name in OUTCOME_WINDOWS}
    frame = pd.DataFrame({name: decisions[name].astype(float).where(ripe) for name, ripe in mature.items()})
    return frame, answered({name: int(ripe.sum()) for name, ripe in mature.items()})
