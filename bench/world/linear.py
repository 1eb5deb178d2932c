"""What the peers read: the same member features and arm factors as ours, as one row of numbers a decision and arm.

A row is [1, member | factors of the arm, member x product]: without the products of member and arm a linear model would rank the arms alike for everyone, and
the comparison would be won too easily. Columns from `base` on are 0 for `none`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch.nn.functional import one_hot

from training.domain.catalog import Catalog
from training.domain.nouns import NONE
from training.domain.schema import MEMBER_NUMERIC
from training.model.encode import CONTEXT_SIZE, MemberEncoder


@dataclass(frozen=True)
class Design:
    """The platform's member encoder, and the factors of every arm, [arms, products + creatives + channels]; `none` is the row of zeros."""

    encoder: MemberEncoder
    index: dict[str, int]
    factors: torch.Tensor
    products: int

    @classmethod
    def fit(cls, frame: pd.DataFrame, catalog: Catalog) -> Design:
        """Means, deviations and words of `frame`; factors of the catalog."""
        ids = [*catalog.arms, NONE]
        columns = [*catalog.products, *(f"creative {c}" for c in catalog.creatives), *(f"channel {c}" for c in catalog.channels)]
        factors = torch.zeros(len(ids), len(columns))
        for i, arm in enumerate(catalog.arms.values()):
            for word in (arm.product_id, f"creative {arm.creative_id}", f"channel {arm.channel_id}"):
                factors[i, columns.index(word)] = 1.0
        return cls(MemberEncoder.fit(frame), {a: i for i, a in enumerate(ids)}, factors, len(catalog.products))

    def members(self, frame: pd.DataFrame) -> torch.Tensor:
        """[n, base]: a one, the numbers, the words one by one, surface and time."""
        rows = self.encoder.rows(frame)
        words = [one_hot(rows.categorical[:, i], len(v) + 1) for i, v in enumerate(self.encoder.vocabulary)]
        return torch.cat([torch.ones(len(frame), 1), rows.numeric, *words, rows.context], dim=1).to(torch.float32)

    def rows(self, members: torch.Tensor, arms: torch.Tensor) -> torch.Tensor:
        """[n, d] of `members` [n, base] with arms at positions `arms` [n]."""
        factors = self.factors[arms]
        return torch.cat([members, factors, *(members * factors[:, k : k + 1] for k in range(self.products))], dim=1)

    def scores(self, members: torch.Tensor, arms: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """`rows` of every one of `members` [n, base] with every one of `arms` [A], times `weights` [S, d]: [n, A, S], without the rows ever being made."""
        base, factors = members.shape[1], self.factors[arms]
        on_member, on_factors, on_each = torch.split(weights, [base, factors.shape[1], base * self.products], dim=1)
        each = torch.stack([members @ part.T for part in torch.split(on_each, base, dim=1)], dim=1)
        same = (members @ on_member.T)[:, None, :] + (factors @ on_factors.T)[None]
        return same + torch.einsum("ak,nks->nas", factors[:, : self.products], each)

    @property
    def size(self) -> int:
        """d."""
        base = 1 + 2 * len(MEMBER_NUMERIC) + sum(len(v) + 1 for v in self.encoder.vocabulary) + CONTEXT_SIZE
        return base + self.factors.shape[1] + base * self.products

    def codes(self, arms: pd.Series) -> torch.Tensor:
        """Position of each arm."""
        return torch.from_numpy(arms.map(self.index).to_numpy(dtype=np.int64))

    def blocks(self, members: torch.Tensor) -> tuple[int, int, int, int]:
        """Lengths of the constant, the member's part, the factors, and the products."""
        base = members.shape[1]
        return 1, base - 1, self.factors.shape[1], base * self.products
