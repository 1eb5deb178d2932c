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

Floats = npt.NDArray[np.float32]

CONTEXT_SIZE = len(SURFACES) + 2 + 7
"""Surface one-hot, hour on the circle, weekday one-hot."""
NUMERIC_SIZE = 2 * len(MEMBER_NUMERIC)
"""Each number and whether it is missing."""
COMMON = 0.0005
"""A category rarer than this share of the rows is treated as unknown: its embedding could not be learned."""

CONSTANT = 1e-6
"""A number that varies less than this is not divided by its deviation."""


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
    """Numbers: sign(x) log(1 + |x|), then (x - mean) / deviation, clipped to 5. Words: position in `vocabulary` + 1, 0 where unknown or missing."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    vocabulary: tuple[tuple[str, ...], ...]

    @classmethod
    def fit(cls, frame: pd.DataFrame) -> MemberEncoder:
        """Learn from the training rows only. A column without any value becomes all missing."""
        mean, spread = [], []
        for name in MEMBER_NUMERIC:  # one column at a time: all of them as float64 would be as large as the frame
            column = _squashed(frame, (name,))[:, 0]
            known = column[~np.isnan(column)]
            mean.append(float(np.mean(known)) if len(known) else 0.0)
            spread.append(float(np.std(known)) if len(known) else 0.0)
        words = []
        for name in MEMBER_CATEGORICAL:
            counts = frame[name].dropna().astype(str).value_counts()
            words.append(tuple(sorted(str(w) for w, n in counts.items() if n >= max(1.0, COMMON * len(frame)))))
        return cls(tuple(mean), tuple(s if s > CONSTANT else 1.0 for s in spread), tuple(words))

    def rows(self, frame: pd.DataFrame) -> MemberRows:
        """Encode `frame` (MEMBER_NUMERIC, MEMBER_CATEGORICAL, `surface`, `decided_at`)."""
        when = pd.to_datetime(frame["decided_at"], utc=True).dt
        context = _context(frame["surface"].astype(str).to_numpy(), when.hour.to_numpy(), when.weekday.to_numpy())
        return MemberRows(torch.from_numpy(self._numeric(frame)), torch.from_numpy(self._categorical(frame)), torch.from_numpy(context))

    def row(self, features: Mapping[str, object], context: Context) -> MemberRows:
        """Encode one member in one context; a feature that is absent counts as missing."""
        frame = pd.DataFrame([{name: features.get(name) for name in (*MEMBER_NUMERIC, *MEMBER_CATEGORICAL)}])
        about = _context(np.array([context.surface.value]), np.array([context.hour]), np.array([context.weekday]))
        return MemberRows(torch.from_numpy(self._numeric(frame)), torch.from_numpy(self._categorical(frame)), torch.from_numpy(about))

    def state(self) -> dict[str, Any]:
        """What `restore` needs, as JSON values."""
        return asdict(self)

    @classmethod
    def restore(cls, state: Mapping[str, Any]) -> MemberEncoder:
        """The encoder that `state()` described."""
        return cls(tuple(state["mean"]), tuple(state["deviation"]), tuple(tuple(words) for words in state["vocabulary"]))

    def _numeric(self, frame: pd.DataFrame) -> Floats:
        raw = _squashed(frame)
        missing = np.isnan(raw)
        scaled = np.where(missing, 0.0, (raw - np.array(self.mean)) / np.array(self.deviation))
        return np.concatenate([np.clip(scaled, -5, 5), missing], axis=1).astype(np.float32)

    def _categorical(self, frame: pd.DataFrame) -> npt.NDArray[np.int64]:
        columns = [
            pd.Categorical(frame[name].astype(object), categories=list(words)).codes.astype(np.int64) + 1
            for name, words in zip(MEMBER_CATEGORICAL, self.vocabulary, strict=True)
        ]
        return np.stack(columns, axis=1)


def _squashed(frame: pd.DataFrame, names: Sequence[str] = MEMBER_NUMERIC) -> npt.NDArray[np.float64]:
    columns = [pd.to_numeric(frame[name], errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan) for name in names]
    raw = np.stack(columns, axis=1)
    return np.asarray(np.sign(raw) * np.log1p(np.abs(raw)))


def _context(surface: npt.NDArray[Any], hour: npt.NDArray[Any], weekday: npt.NDArray[Any]) -> Floats:
    angle = 2 * np.pi * hour.astype(np.float64) / 24
    surfaces = surface[:, None] == np.array(SURFACES)[None, :]
    days = weekday[:, None] == np.arange(7)[None, :]
    return np.concatenate([surfaces, np.sin(angle)[:, None], np.cos(angle)[:, None], days], axis=1).astype(np.float32)
