"""The siloed way that the platform replaces: every channel chases conversions by itself, and nobody owns "show nothing"."""

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
from training.model import posterior

FEWEST = 20
"""Conversions below which a channel's model is its base rate."""
SEND = -1e9
"""Score of `none` where nobody owns it: below every message."""


@dataclass
class Siloed:
    """One conversion model a channel, a logistic regression on that channel's own log; the channel that promises most gets the slot and always sends.

    Its priors are set by the evidence, as ours are. It explores nothing and knows no cost, no retention and no `none`.
    """

    settings: Settings
    every: int
    learns: bool = True
    _design: Design | None = None
    _weights: dict[str, torch.Tensor] = field(default_factory=dict)
    _days: int = 0

    def learn(self, history: History, yesterday: date) -> None:
        """See Player."""
        if self._days % self.every == 0:
            catalog = load_catalog(self.settings.catalog)
            frame = history.training(yesterday)
            self._design = Design.fit(frame, catalog)
            mature = frame[frame[Label.CONVERTED.value].notna() & (frame["arm_id"] != NONE)].reset_index(drop=True)
            channel = mature["arm_id"].map(lambda a: catalog.arms[a].channel_id)
            self._weights = {name: self._model(self._design, mature[channel == name].reset_index(drop=True)) for name in catalog.channels}
        self._days += 1

    def _model(self, design: Design, frame: pd.DataFrame) -> torch.Tensor:
        members = design.members(frame)
        rows, label = design.rows(members, design.codes(frame["arm_id"])), torch.from_numpy(frame[Label.CONVERTED.value].to_numpy(dtype="float32"))
        if min(label.sum(), (1 - label).sum()) < FEWEST:
            weights = torch.zeros(rows.shape[1])
            weights[0] = torch.logit((label.sum() + 1) / (len(label) + 100))
            return weights
        head, _ = posterior.fit(rows, label, design.blocks(members), self.settings.training.prior_precision)
        return head.mean.to(torch.float32)

    def decide(self, history: History, asked: Asked, truth: Worth) -> Chosen:
        """See Player."""
        del truth
        if self._design is None:
            raise RuntimeError("decide() was called before learn().")
        catalog = load_catalog(self.settings.catalog)
        members = self._design.members(history.upcoming(asked))
        menus, scores = history.menus.arms[asked.menu], np.full((len(asked.at), history.menus.arms.shape[1]), -np.inf)
        for row, name in enumerate(history.world.arm_ids):
            here = torch.from_numpy(np.flatnonzero((menus == row).any(axis=1)))
            if name == NONE:
                found = np.full(len(here), SEND)
            else:
                code = torch.full((len(here),), self._design.index[name])
                found = (self._design.rows(members[here], code) @ self._weights[catalog.arms[name].channel_id]).numpy()
            scores[menus == row] = found
        return draw(history.menus, asked, np.eye(scores.shape[1])[scores.argmax(axis=1)], "siloed")
