"""Members and circumstances as tensors. What was fitted is plain numbers and words, so it is saved as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from training.domain.nouns import Context
from training.domain.schema import MEMBER_CATEGORICAL, MEMBER_NUMERIC, SURFACES
from training.model.numbers import NumberEncoder

Floats = npt.NDArray[np.float32]

CONTEXT_SIZE = len(SURFACES) + 2 + 7
"""Surface one-hot, hour on the circle, weekday one-hot."""
NUMERIC_SIZE = 2 * len(MEMBER_NUMERIC)
"""Each number and whether it is missing."""
COMMON = 0.0005
"""A category rarer than this share of the rows is treated as unknown: its embedding could not be learned."""


class MemberRows(NamedTuple):
    """One row a decision: numeric [n, NUMERIC_SIZE], categorical [n, 6] (0 = unknown), context [n, CONTEXT_SIZE]."""

    numeric: torch.Tensor
    categorical: torch.Tensor
    context: torch.Tensor

    def take(self, rows: torch.Tensor | slice) -> MemberRows:
        """The given rows."""
        return MemberRows(self.numeric[rows], self.categorical[rows], self.context[rows])


@dataclass(frozen=True)
class MemberEncoder:
    """Numbers: `NumberEncoder` of MEMBER_NUMERIC. Words: position in `vocabulary` + 1, 0 where unknown or missing."""

    numbers: NumberEncoder
    vocabulary: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame) -> MemberEncoder:
        """Learn from the training rows only. A column without any value becomes all missing."""
        numbers = NumberEncoder.fit(lambda i: _values(frame, MEMBER_NUMERIC[i]), len(MEMBER_NUMERIC))
        words = []
        for name in MEMBER_CATEGORICAL:
            counts = frame[name].dropna().astype(str).value_counts()
            words.append(tuple(sorted(str(w) for w, n in counts.items() if n >= max(1.0, COMMON * len(frame)))))
        return cls(numbers, tuple(words))

    def rows(self, frame: pd.DataFrame) -> MemberRows:
        """Encode `frame` (MEMBER_NUMERIC, MEMBER_CATEGORICAL, `surface`, `decided_at`)."""
        when = pd.to_datetime(frame["decided_at"], utc=True).dt
        context = circumstances(frame["surface"].astype(str).to_numpy(), when.hour.to_numpy(), when.weekday.to_numpy())
        return MemberRows(torch.from_numpy(self._numeric(frame)), torch.from_numpy(self._categorical(frame)), torch.from_numpy(context))

    def row(self, features: Mapping[str, object], context: Context) -> MemberRows:
        """Encode one member in one context; a feature that is absent counts as missing."""
        return self.several([features], [context])

    def several(self, features: Sequence[Mapping[str, object]], contexts: Sequence[Context]) -> MemberRows:
        """Encode members, each in its own context; there is at least one."""
        frame = pd.DataFrame([{name: known.get(name) for name in (*MEMBER_NUMERIC, *MEMBER_CATEGORICAL)} for known in features])
        surfaces, hours, weekdays = zip(*((c.surface.value, c.hour, c.weekday) for c in contexts), strict=True)
        about = circumstances(np.array(surfaces), np.array(hours), np.array(weekdays))
        return MemberRows(torch.from_numpy(self._numeric(frame)), torch.from_numpy(self._categorical(frame)), torch.from_numpy(about))

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as JSON values."""
        return asdict(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> MemberEncoder:
        """The encoder that `state()` described."""
        known = state["numbers"]
        numbers = NumberEncoder(tuple(known["mean"]), tuple(known["deviation"]), tuple(tuple(bounds) for bounds in known["edges"]))
        return cls(numbers, tuple(tuple(words) for words in state["vocabulary"]))

    def _numeric(self, frame: pd.DataFrame) -> Floats:
        return self.numbers.encode(np.stack([_values(frame, name) for name in MEMBER_NUMERIC], axis=1))

    def _categorical(self, frame: pd.DataFrame) -> npt.NDArray[np.int64]:
        columns = [
            pd.Categorical(frame[name].astype(object), categories=list(words)).codes.astype(np.int64) + 1
            for name, words in zip(MEMBER_CATEGORICAL, self.vocabulary, strict=True)
        ]
        return np.stack(columns, axis=1)


def numbers(column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    """Floats with NaN for NULL, from bool, object or nullable columns."""
    found: npt.NDArray[np.float64] = np.asarray(column.astype("object").where(column.notna(), np.nan), dtype=np.float64)
    return found


def _values(frame: pd.DataFrame, name: str) -> npt.NDArray[np.float64]:
    return pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)


def circumstances(surface: npt.NDArray[Any], hour: npt.NDArray[Any], weekday: npt.NDArray[Any]) -> Floats:
    """float32 [n, CONTEXT_SIZE] of surfaces, hours 0-23 and weekdays, each [n]."""
    angle = 2 * np.pi * hour.astype(np.float64) / 24
    surfaces = surface[:, None] == np.array(SURFACES)[None, :]
    days = weekday[:, None] == np.arange(7)[None, :]
    return np.concatenate([surfaces, np.sin(angle)[:, None], np.cos(angle)[:, None], days], axis=1).astype(np.float32)
