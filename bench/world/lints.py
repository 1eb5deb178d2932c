"""Linear Thompson sampling (Agrawal and Goyal 2013) on the same features: one Bayesian linear regression a label, weighed by the same utility.

One regression of the whole reward would have to wait 28 days for its last part; one a label uses each answer when it is mature.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

import numpy as np
import pandas as pd
import torch

from bench.world.history import History
from bench.world.linear import Design
from bench.world.score import Worth
from sources.simulated.policy import Asked, Chosen, draw
from training.config.settings import Settings
from training.domain.catalog import load_catalog
from training.domain.nouns import NONE, Label
from training.model.select import JUDGED, Prices, propensities, worth_of

PART = 128
"""Members that are scored at once."""


@dataclass(frozen=True)
class Ridge:
    """Bayesian linear regression: precision [d, d], and precision x mean [d], float64. Incremental is exact."""

    precision: torch.Tensor
    moment: torch.Tensor
    noise: float

    @classmethod
    def empty(cls, size: int, prior: float, noise: float) -> Ridge:
        """Before any row; `noise` is the variance of an answer."""
        return cls(torch.eye(size, dtype=torch.float64) * prior, torch.zeros(size, dtype=torch.float64), noise)

    def update(self, rows: torch.Tensor, answers: torch.Tensor) -> Ridge:
        """After `rows` [n, d] answered `answers` [n]."""
        wide = rows.double()
        return Ridge(self.precision + (wide.T @ wide) / self.noise, self.moment + (wide.T @ answers.double()) / self.noise, self.noise)

    def draw(self, draws: int, generator: torch.Generator) -> torch.Tensor:
        """Weights [draws, d], float32."""
        factor = torch.linalg.cholesky(self.precision)
        mean = torch.cholesky_solve(self.moment[:, None], factor)
        noise = torch.randn(len(self.moment), draws, generator=generator, dtype=torch.float64)
        drawn: torch.Tensor = (mean + torch.linalg.solve_triangular(factor.T, noise, upper=True)).T.to(torch.float32)
        return drawn


@dataclass
class LinTS:
    """Fitted on the window every `every` days, updated exactly with what matures between; p is the share of draws won, without a floor."""

    settings: Settings
    seed: int
    every: int
    learns: bool = True
    _design: Design | None = None
    _heads: dict[Label, Ridge] = field(default_factory=dict)
    _days: int = 0

    def learn(self, history: History, yesterday: date) -> None:
        """See Player."""
        if self._design is None or self._days % self.every == 0:
            frame = history.training(yesterday)
            self._design, self._heads = Design.fit(frame, load_catalog(self.settings.catalog)), {}
            for label in JUDGED:
                mature = frame[frame[label.value].notna()].reset_index(drop=True)
                rate = (float(mature[label.value].astype("float64").sum()) + 1.0) / (len(mature) + 2.0)
                self._heads[label] = self._after(Ridge.empty(self._design.size, self.settings.training.prior_precision, rate * (1 - rate)), mature, label)
        else:
            self._heads = {label: self._after(head, history.matured(label, yesterday), label) for label, head in self._heads.items()}
        self._days += 1

    def _after(self, head: Ridge, frame: pd.DataFrame, label: Label) -> Ridge:
        if self._design is None or frame.empty:
            return head
        rows = self._design.rows(self._design.members(frame), self._design.codes(frame["arm_id"]))
        return head.update(rows, torch.from_numpy(frame[label.value].to_numpy(dtype="float32")))

    def decide(self, history: History, asked: Asked, truth: Worth) -> Chosen:
        """See Player."""
        del truth
        if self._design is None:
            raise RuntimeError("decide() was called before learn().")
        generator = torch.Generator().manual_seed(self.seed * 100_003 + asked.day)
        weights = {label: head.draw(self.settings.exploration.draws, generator) for label, head in self._heads.items()}
        members, catalog = self._design.members(history.upcoming(asked)), load_catalog(self.settings.catalog)
        probabilities = np.zeros((len(asked.at), history.menus.arms.shape[1]))
        for menu in np.unique(asked.menu):
            rows = np.flatnonzero(asked.menu == menu)
            ids = [history.world.arm_ids[k] for k in history.menus.arms[menu] if k >= 0]
            products = [catalog.arms[a].product_id if a != NONE else "" for a in ids]
            value = torch.tensor([catalog.products[p].value if p else 0.0 for p in products])
            cost = torch.tensor([catalog.channels[catalog.arms[a].channel_id].cost if a != NONE else 0.0 for a in ids])
            prices = Prices(value, cost)
            for part in np.array_split(rows, max(1, len(rows) // PART)):
                probabilities[part, : len(ids)] = propensities(_utilities(self._design, members[part], ids, prices, weights, self.settings), 0.0).numpy()
        return draw(history.menus, asked, probabilities, "lints")


def _utilities(design: Design, members: torch.Tensor, arms: list[str], prices: Prices, weights: dict[Label, torch.Tensor], settings: Settings) -> torch.Tensor:
    """Utility of each of `arms` for each of `members` [n, base] under each draw, [n, A, S]."""
    codes = torch.tensor([design.index[a] for a in arms])
    total = -prices.cost[None, :, None]
    for label, drawn in weights.items():
        shown = design.scores(members, codes, drawn)
        unprompted_too = (members @ drawn[:, : members.shape[1]].T)[:, None, :]
        total = total + worth_of(label, shown, unprompted_too, prices.value[None], settings.utility)
    return total
