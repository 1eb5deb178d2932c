"""The design matrix of the reward model from the `x_*` columns of a log."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from training.evaluation.columns import numbers, text
from training.evaluation.intervals import Floats
from training.evaluation.magnitude import unit

_LEVELS = 30


def features(log: pa.Table) -> Floats:
    """Standardised design [n, d] of all `x_*` columns: numbers with their missing flag, anything else as indicators of its commonest values."""
    columns = [column for name in log.column_names if name.startswith("x_") for column in _columns(log[name], f"Feature {name} of the log")]
    kept = [(c - c.mean()) / c.std() for c in columns if c.std() > 1e-12 * max(1.0, float(np.abs(c).max()))]
    return np.column_stack(kept) if kept else np.zeros((log.num_rows, 0))


def _columns(values: pa.ChunkedArray, what: str) -> Iterator[Floats]:
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        found = numbers(values, what)
        known = np.isfinite(found)
        found = np.where(known, found, 0.0)
        found /= unit(found)
        yield np.where(known, found, found[known].mean() if known.any() else 0.0)
        yield (~known).astype(np.float64)
        return
    coded = pc.fill_null(text(values, what), "").combine_chunks().dictionary_encode()
    codes = coded.indices.to_numpy(zero_copy_only=False)
    for level in np.argsort(-np.bincount(codes), kind="stable")[:_LEVELS]:
        yield (codes == level).astype(np.float64)
