"""A training set as a few narrow columns: what one epoch reads again and again, without a copy of any arm for each row that showed it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from training.domain.schema import ARM_NUMERIC
from training.model.arms import ArmBook, ArmEncoder, ArmHistory, ArmRows
from training.model.encode import MemberEncoder, MemberRows
from training.model.funnel import Stage

CHUNK = 32_768
"""Rows that are encoded, scored or measured at once."""
IMMATURE = -1
"""Code of a label that is not known yet."""


class Kinds(NamedTuple):
    """What never changes about the arms, once an arm: factors int64 [arms, 3 or 5], text [arms, t], shown [arms, 1] (0 for `none`)."""

    factors: torch.Tensor
    text: torch.Tensor
    shown: torch.Tensor

    def to(self, device: torch.device) -> Kinds:
        """The same kinds on `device`."""
        return Kinds(*(part.to(device) for part in self))

    def nameless(self) -> Kinds:
        """The same kinds with their creative unknown, so that only its text speaks."""
        factors = self.factors.clone()
        factors[:, 1] = 0
        return self._replace(factors=factors)

    def twice(self) -> Kinds:
        """Every kind, then every kind again with its creative unknown."""
        return Kinds(torch.cat([self.factors, self.nameless().factors]), torch.cat([self.text, self.text]), torch.cat([self.shown, self.shown]))


class Batch(NamedTuple):
    """Some rows: dense [n, numbers + context], codes [n, words], arm [n], rates [n, 3], labels int8 [n, L]."""

    dense: torch.Tensor
    codes: torch.Tensor
    arm: torch.Tensor
    rates: torch.Tensor
    labels: torch.Tensor


@dataclass(frozen=True)
class Rows:
    """The training set, one row a decision.

    `dense` float32 [n, numbers + context] holds the `numbers` columns of MemberRows.numeric, then its context; `codes` [n, words] and `arm` [n], a
    position in `kinds`, are as narrow as their values allow; `rates` float32 [n, 3] as of each row's day, 0 for `none`; `labels` int8 [n, L] is 0, 1
    or IMMATURE; `kept_back` bool [n] is true where a row only says when to stop.
    """

    numbers: int
    dense: torch.Tensor
    codes: torch.Tensor
    arm: torch.Tensor
    rates: torch.Tensor
    labels: torch.Tensor
    kept_back: torch.Tensor
    kinds: Kinds
    names: tuple[Stage, ...]

    @classmethod
    def of(cls, members: MemberRows, arms: ArmRows, labels: torch.Tensor, names: tuple[Stage, ...], kept_back: torch.Tensor) -> Rows:
        """The same rows from whole ones; `labels` [n, L] is NaN where immature. Equal arms become one kind."""
        described = torch.cat([arms.factors.to(arms.text.dtype), arms.shown, arms.text], dim=1)
        distinct, which = torch.unique(described, dim=0, return_inverse=True)
        words = arms.factors.shape[1]
        kinds = Kinds(distinct[:, :words].to(torch.int64), distinct[:, words + 1 :], distinct[:, words : words + 1])
        dense = torch.cat([members.numeric, members.context], dim=1)
        known = labels.nan_to_num(nan=IMMATURE).to(torch.int8)
        rates = arms.rates * arms.shown
        return cls(members.numeric.shape[1], dense, narrow(members.categorical), narrow(which), rates, known, kept_back, kinds, names)

    def __len__(self) -> int:
        return len(self.dense)

    @property
    def base_rates(self) -> torch.Tensor:
        """Mean of the mature values of each label, float32 [L]."""
        mature = (self.labels != IMMATURE).sum(dim=0)
        return ((self.labels == 1).sum(dim=0).to(torch.float64) / mature).to(torch.float32)

    @property
    def bytes(self) -> int:
        """Size of all columns."""
        return sum(t.nbytes for t in (self.dense, self.codes, self.arm, self.rates, self.labels, self.kept_back, *self.kinds))

    def batch(self, rows: torch.Tensor | slice) -> Batch:
        """The rows at `rows` int64 [m], in that order, or those of a slice."""
        columns = (self.dense, self.codes, self.arm, self.rates, self.labels)
        return Batch(*(column[rows] if isinstance(rows, slice) else column.index_select(0, rows) for column in columns))

    def whole(self, rows: slice) -> tuple[MemberRows, ArmRows]:
        """Consecutive rows as the towers take them."""
        dense, arm = self.dense[rows], self.arm[rows].to(torch.int64)
        members = MemberRows(dense[:, : self.numbers], self.codes[rows].to(torch.int64), dense[:, self.numbers :])
        return members, ArmRows(self.kinds.factors[arm], self.kinds.text[arm], self.rates[rows], self.kinds.shown[arm], torch.zeros(len(arm), 0))

    def to(self, device: torch.device) -> Rows:
        """The same rows on `device`; nothing is copied where they are there already."""
        moved = Batch(*(column.to(device) for column in (self.dense, self.codes, self.arm, self.rates, self.labels)))
        return Rows(self.numbers, *moved, self.kept_back.to(device), self.kinds.to(device), self.names)


def pack(frame: pd.DataFrame, members: MemberEncoder, arms: ArmEncoder, book: ArmBook, labels: Mapping[Stage, npt.NDArray[np.float64]]) -> Rows:
    """Encode `frame` CHUNK rows at a time, so that no second copy of it is ever whole. `labels` [n] are NaN where immature; no row is kept back."""
    history = ArmHistory.read(arms, book, frame[["decided_at", "arm_id", *(f"arm_{name}" for name in ARM_NUMERIC)]])
    first, n = members.rows(frame.iloc[:1]), len(frame)
    rows = Rows(
        numbers=first.numeric.shape[1],
        dense=torch.empty(n, first.numeric.shape[1] + first.context.shape[1]),
        codes=torch.empty(n, len(members.vocabulary), dtype=_type(max((len(words) for words in members.vocabulary), default=0))),
        arm=torch.empty(n, dtype=_type(len(book.ids))),
        rates=torch.empty(n, history.rates.shape[2]),
        labels=torch.stack([torch.from_numpy(np.nan_to_num(v, nan=IMMATURE).astype(np.int8)) for v in labels.values()], dim=1),
        kept_back=torch.zeros(n, dtype=torch.bool),
        kinds=Kinds(book.factors, book.text, book.shown),
        names=tuple(labels),
    )
    for span in spans(n):
        part = frame.iloc[span]
        encoded, arm = members.rows(part), torch.from_numpy(book.codes(part["arm_id"].to_numpy()))
        rows.dense[span, : rows.numbers], rows.dense[span, rows.numbers :] = encoded.numeric, encoded.context
        rows.codes[span], rows.arm[span] = encoded.categorical, arm
        rows.rates[span] = history.rates[history.day_codes(part), arm] * book.shown[arm]
    return rows


def spans(rows: int, chunk: int = CHUNK) -> Iterator[slice]:
    """Consecutive slices of at most `chunk` rows."""
    return (slice(start, min(start + chunk, rows)) for start in range(0, rows, chunk))


def narrow(codes: torch.Tensor) -> torch.Tensor:
    """The same codes (0 or more) in the smallest type that holds them."""
    return codes.to(_type(int(codes.max()) if codes.numel() else 0))


def _type(largest: int) -> torch.dtype:
    return next((t for t in (torch.uint8, torch.int16, torch.int32) if largest <= torch.iinfo(t).max), torch.int64)
