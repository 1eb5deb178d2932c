"""How widely to draw: nu, the factor on the posterior's spread, chosen by what exploration costs and what it pays under the posterior itself.

A truth is drawn from the posterior, the model plays against it on menus of the log with each candidate nu, is answered by that truth, learns, and plays
again; the nu with the least regret over ROUNDS weeks decides. That is the policy's Bayesian regret (Russo and Van Roy 2014, "Learning to Optimize via
Posterior Sampling", section 2) over a horizon that a business has, where nu = 1 is made for one without end and for one decision at a time: thousands of
members who are decided together between two lessons explore enough with less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd
import torch

from training.config.settings import Settings, UtilitySettings
from training.domain.catalog import Catalog
from training.domain.schema import ARM_NUMERIC
from training.model.arms import ArmBook
from training.model.encode import numbers
from training.model.funnel import Stage, asked
from training.model.matching import MatchingModel
from training.model.posterior import LaplaceLogistic
from training.model.search import likelihood
from training.model.select import Parts, Prices, draw_utilities, draw_weights
from training.model.towers import pairs

WIDTHS = (1.0, 0.5, 0.3, 0.2, 0.1)
"""Candidates, the one that explores most first."""
TRUTHS, ROUNDS, DAYS = 8, 4, 7
"""Worlds drawn, and in each so many rounds of so many days' decisions, each learned from before the next."""
ROWS, DRAWS = 1_000, 8
"""Decisions that stand for all of a round, and how many draws they share."""
IMPOSSIBLE = -1e9

Heads = dict[Stage, LaplaceLogistic]


@dataclass(frozen=True)
class Scene:
    """Decisions to play: phi [B, A, d] of every arm of every menu, `feasible` bool [B, A], prices [B, A]; each stands for `weight` decisions of a round."""

    phi: torch.Tensor
    feasible: torch.Tensor
    prices: Prices
    base: int
    weight: float
    worth: UtilitySettings
    parts: Parts = field(default_factory=dict)

    def utilities(self, weights: Mapping[Stage, torch.Tensor]) -> torch.Tensor:
        """[B, A, S]; IMPOSSIBLE where infeasible."""
        found = draw_utilities(self.phi, self.base, weights, self.prices, self.worth, self.parts)
        return found.masked_fill(~self.feasible[..., None], IMPOSSIBLE)


def with_width(model: MatchingModel, frame: pd.DataFrame, some: pd.DataFrame, catalog: Catalog, settings: Settings) -> MatchingModel:
    """The model with the width of least regret in its manifest; it was fitted on `frame`, and menus are those of an even sample of `some`."""
    picked = some.iloc[:: max(1, len(some) // ROWS)].reset_index(drop=True)
    days = max(1, frame["decided_at"].dt.date.nunique())
    found = regrets(model, scene(model, picked, latest(frame), catalog, settings.utility, len(frame) / days), settings.seed)
    told = {str(nu): round(float(np.mean(played)), 4) for nu, played in found.items()}
    return replace(model, manifest={**model.manifest, "nu": best(found), "regrets": told})


def scene(
    model: MatchingModel, some: pd.DataFrame, arm_features: Mapping[str, Mapping[str, object]], catalog: Catalog, worth: UtilitySettings, a_day: float
) -> Scene:
    """The decisions `some` (columns as in the training set, with `feasible_arms`), which stand for `a_day` decisions a day; `arm_features` as policies take."""
    book = model.book(catalog, some)
    menus = [list(menu) for menu in some["feasible_arms"]]
    codes = torch.full((len(menus), max(map(len, menus))), book.index["none"])
    feasible = torch.zeros(codes.shape, dtype=torch.bool)
    for i, menu in enumerate(menus):
        codes[i, : len(menu)], feasible[i, : len(menu)] = torch.from_numpy(book.codes(menu)), True
    with torch.no_grad():
        phi = pairs(model.towers, model.members.rows(some), _arms(model, book, arm_features)[codes])
    return Scene(phi, feasible, Prices(book.value[codes], book.cost[codes]), model.towers.sizes.base, a_day * DAYS / len(menus), worth)


def regrets(model: MatchingModel, stage: Scene, seed: int) -> dict[float, list[float]]:
    """Regret of a decision, in money, in each of TRUTHS worlds for each of WIDTHS; the same worlds, and in each round the same chance, for all of them."""
    return {nu: [_played(dict(model.heads), stage, nu, Chance(seed * 1_009 + k)) for k in range(TRUTHS)] for nu in WIDTHS}


def best(found: Mapping[float, list[float]]) -> float:
    """The widest that is not worse than the width of least mean regret by more than one standard error of their difference (Breiman et al. 1984, section
    3.4.3): where width hardly matters to regret, what is drawn widely is seen more, and a later policy can be judged by it.
    """
    regret = {nu: np.array(found[nu]) for nu in WIDTHS}
    least = regret[min(WIDTHS, key=lambda nu: float(regret[nu].mean()))]
    return next(nu for nu in WIDTHS if (regret[nu] - least).mean() <= (regret[nu] - least).std(ddof=1) / len(least) ** 0.5)


def latest(frame: pd.DataFrame) -> dict[str, dict[str, object]]:
    """ARM_NUMERIC by arm id as the newest decision that showed the arm knew them."""
    names = [f"arm_{name}" for name in ARM_NUMERIC]
    newest = frame[["arm_id", "decided_at", *names]].sort_values("decided_at", kind="stable").drop_duplicates("arm_id", keep="last")
    columns = {name: numbers(newest[f"arm_{name}"]) for name in ARM_NUMERIC}
    return {arm: {name: float(column[i]) for name, column in columns.items()} for i, arm in enumerate(newest["arm_id"])}


def _arms(model: MatchingModel, book: ArmBook, arm_features: Mapping[str, Mapping[str, object]]) -> torch.Tensor:
    """What the network says of each arm of `book` with its present rates."""
    rates = torch.from_numpy(model.arms.rates(book.counts(arm_features)))
    return model.towers.arms(book.rows(torch.arange(len(book.ids)), rates))


@dataclass(frozen=True)
class Chance:
    """What happens by chance in one world; a new generator for each round, since how many numbers answers take depends on what was chosen."""

    seed: int

    def of(self, round_: int) -> torch.Generator:
        """That of a round; 0 is before the first."""
        return torch.Generator().manual_seed(self.seed + 1_000_003 * round_)


def _played(heads: Heads, stage: Scene, nu: float, chance: Chance) -> float:
    """Mean regret of a decision over ROUNDS against one truth drawn from `heads`, which learn after each round."""
    first = chance.of(0)
    truth = {name: head.draw(1, 1.0, first).to(torch.float32) for name, head in heads.items()}
    worth, rows, lost = stage.utilities(truth)[..., 0], torch.arange(len(stage.phi)), 0.0
    for round_ in range(1, ROUNDS + 1):
        generator = chance.of(round_)
        drawn = stage.utilities(draw_weights(heads, DRAWS, nu, generator))
        chosen = drawn[rows, :, rows % DRAWS].argmax(dim=1)
        lost += float((worth.amax(dim=1) - worth[rows, chosen]).mean())
        heads = _learned(heads, stage.phi[rows, chosen], truth, stage.weight, generator)
    return lost / ROUNDS


def _learned(heads: Heads, phi: torch.Tensor, truth: Mapping[Stage, torch.Tensor], weight: float, generator: torch.Generator) -> Heads:
    """The heads after every row of `phi` [B, d] was answered `weight` times (in the mean, where that is no whole number) by `truth`: the first Newton step of
    `LaplaceLogistic.update`, which is what these answers say to first order; a head of a whole log is not moved far by a week's.
    """
    count = torch.floor(weight + torch.rand(len(phi), generator=generator))
    yes, after = dict[Stage, torch.Tensor](), dict(heads)
    for name, head in heads.items():
        _, first, happened = asked(name)
        times = count if first is None else yes[Stage(first.value)] if happened else count - yes[Stage(first.value)]
        yes[name] = torch.binomial(times, torch.sigmoid(phi @ truth[name][0]), generator=generator)
        slope, curvature = likelihood(phi, yes[name] / times.clamp(min=1.0), times, head.mean)
        precision = head.precision + curvature
        after[name] = LaplaceLogistic(head.mean + torch.linalg.solve(precision, slope), precision)
    return after
