"""The trained model: encoders, network and one posterior a label. It predicts; `policy` decides with it, `saving` keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from training.domain.catalog import Catalog
from training.domain.errors import DataError
from training.domain.nouns import Label
from training.domain.schema import ARM_NUMERIC, MEMBER_CATEGORICAL, MEMBER_NUMERIC
from training.model.arms import ArmBook, ArmEncoder, ArmHistory, ArmRows
from training.model.encode import MemberEncoder, MemberRows
from training.model.funnel import Stage, chances, needed
from training.model.posterior import LaplaceLogistic
from training.model.stacked import Stacked
from training.model.towers import Towers

Floats = npt.NDArray[np.float64]
CHUNK = 16_384
NEEDED = ("member_id", "decided_at", "day", "surface", "arm_id", *MEMBER_CATEGORICAL, *MEMBER_NUMERIC, *(f"arm_{name}" for name in ARM_NUMERIC))
"""Columns of the training set that a model learns and predicts from; labels come besides, and policies read DECIDED too."""
DECIDED = ("decision_id", "feasible_arms")


@dataclass(frozen=True)
class MatchingModel:
    """`heads` holds the stages of the funnel that the log could teach; `manifest` is what a reader needs to know about the training."""

    members: MemberEncoder
    arms: ArmEncoder
    towers: Towers | Stacked
    heads: Mapping[Stage, LaplaceLogistic]
    manifest: Mapping[str, Any]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read a model folder. Raises NotReadyError where there is none, DataError where it cannot be read."""
        from training.model import saving

        members, arms, towers, heads, manifest = saving.read(folder)
        return cls(members, arms, towers, heads, manifest)

    def save(self, folder: Path) -> None:
        """Write the model folder whole: aside first, then renamed over the old one."""
        from training.model import saving

        saving.write(self, folder)

    @property
    def nu(self) -> float:
        """How widely this model's posteriors are drawn where the settings do not say (`width`)."""
        return float(self.manifest.get("nu", 1.0))

    def book(self, catalog: Catalog, frame: pd.DataFrame) -> ArmBook:
        """Every arm that a decision of `frame` could have shown."""
        return ArmBook.build(self.arms, catalog, {*catalog.arms, *frame["arm_id"], *chain.from_iterable(frame["feasible_arms"])})

    def predict(self, frame: pd.DataFrame, catalog: Catalog) -> dict[Label, npt.NDArray[np.float64]]:
        """P(label | member, chosen arm, context) of each row of `frame`, from the posterior means. Columns as in the training set."""
        check_columns(frame)
        members, arms = encode_rows(frame, self.members, self.arms, ArmBook.build(self.arms, catalog, set(frame["arm_id"])))
        return self.score(members, arms)

    def score(self, members: MemberRows, arms: ArmRows) -> dict[Label, npt.NDArray[np.float64]]:
        """P(label) of each pair of encoded rows, in chunks."""
        parts: dict[Label, list[npt.NDArray[np.float64]]] = {label: [] for label in Label if needed(label, self.heads)}
        with torch.no_grad():
            for start in range(0, len(members.numeric), CHUNK):
                rows = slice(start, start + CHUNK)
                phi = self.towers(members.take(rows), arms.take(rows))
                for label, p in self.means(phi).items():
                    parts[label].append(p.numpy().astype(np.float64))
        return {label: np.concatenate(values) if values else np.zeros(0) for label, values in parts.items()}

    def means(self, phi: torch.Tensor) -> dict[Label, torch.Tensor]:
        """P(label) of each row of `phi` [..., d], from the posterior means."""
        return chances({stage: torch.sigmoid(phi @ head.mean.to(torch.float32)) for stage, head in self.heads.items()})

    def bin_means(self, label: Label, rows: tuple[MemberRows, ArmRows], drawn: Mapping[Stage, torch.Tensor], bins: npt.NDArray[np.int64]) -> Floats:
        """Mean P(label) of the rows of each bin under each of S weight vectors `drawn` [S, d] of its stages, [S, bins]; `bins` [n] counts from 0."""
        (members, arms), where = rows, torch.from_numpy(bins)
        total = torch.zeros(int(bins.max()) + 1, len(next(iter(drawn.values()))), dtype=torch.float64)
        with torch.no_grad():
            for start in range(0, len(bins), CHUNK):
                some = slice(start, start + CHUNK)
                phi = self.towers(members.take(some), arms.take(some))
                p = chances({stage: torch.sigmoid(phi @ weights.to(torch.float32).T) for stage, weights in drawn.items()})[label]
                total.index_add_(0, where[some], p.to(torch.float64))
        return (total / torch.bincount(where).clamp(min=1)[:, None]).T.numpy()


def encode_rows(frame: pd.DataFrame, members: MemberEncoder, arms: ArmEncoder, book: ArmBook) -> tuple[MemberRows, ArmRows]:
    """Each decision's member and chosen arm as tensors."""
    history = ArmHistory.read(arms, book, frame)
    codes = torch.from_numpy(book.codes(frame["arm_id"].to_numpy()))
    return members.rows(frame), book.rows(codes, history.rates[history.day_codes(frame), codes])


def check_columns(frame: pd.DataFrame, *besides: str) -> None:
    """Raises DataError that names each column of NEEDED, and of those `besides`, that `frame` lacks."""
    missing = [name for name in (*NEEDED, *besides) if name not in frame.columns]
    if missing:
        raise DataError(f"The training set lacks {', '.join(missing)}: the model would learn from nothing there. Rerun `training_set` for this day.")
