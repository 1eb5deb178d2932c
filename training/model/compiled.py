"""A champion compiled for one member at a time: the same probabilities as `policy`, in numpy and without what a call of each layer costs.

Everything that a decision does not ask about is done before: what is known of each arm, the weights that are drawn, what both make of each other. The S
draws belong to a posterior, so all decisions of that posterior share them, and any decision can be taken again to the bit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from training.config.settings import Settings
from training.domain.catalog import Catalog
from training.domain.nouns import Context, Label
from training.model.compiled_arms import Said, Shelf
from training.model.compiled_heads import Heads
from training.model.compiled_members import Members, Singles
from training.model.compiled_pairs import Pairs
from training.model.funnel import Stage
from training.model.kernel import Kernel
from training.model.loops_score import Tables, score
from training.model.matching import MatchingModel
from training.model.posterior import LaplaceLogistic
from training.model.select import draw_weights
from training.model.towers import pairs


class Scores(NamedTuple):
    """Probability of each feasible arm, float64 [A], in the order asked."""

    p: npt.NDArray[np.float64]


class Moments(NamedTuple):
    """Of each arm [A]: mean and standard deviation of its utility over the draws, and P(label) from the posterior means."""

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    chances: Mapping[Label, npt.NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Compiled:
    """Never changes but for scratch space: it is replaced whole. `score` and `moments` are for one thread at a time."""

    model: MatchingModel
    settings: Settings
    version: str
    posterior: int
    arms_version: str
    members: Members
    shelf: Shelf
    said: Said
    drawn: Mapping[Stage, torch.Tensor]
    kernel: Kernel
    tables: Tables | None
    """What `score` hands to machine code; None where heads read the network's part."""

    @classmethod
    def build(cls, model: MatchingModel, catalog: Catalog, settings: Settings, version: str) -> Compiled:
        """All arms of `catalog`, without recent rates, under the posterior as trained, which is number 0."""
        shelf = Shelf.build(model.arms, catalog)
        said, drawn = shelf.said(model.arms, model.towers, {}), _drawn(model, settings, version, 0)
        members = Members.build(model.members, model.towers)
        kernel = _kernel(model, settings, (shelf, said), drawn)
        return cls(model, settings, version, 0, "", members, shelf, said, drawn, kernel, kernel.tables(members))

    @property
    def arm_ids(self) -> tuple[str, ...]:
        """`none`, then the catalog's arms in its order."""
        return self.shelf.ids

    def with_arms(self, arm_features: Mapping[str, Mapping[str, object]], arms_version: str) -> Compiled:
        """With ARM_NUMERIC by arm id as served from now on; counts of absent arms are unknown. `arms_version` names them."""
        said = self.shelf.said(self.model.arms, self.model.towers, arm_features)
        kernel = _kernel(self.model, self.settings, (self.shelf, said), self.drawn)
        return replace(self, arms_version=arms_version, said=said, kernel=kernel, tables=kernel.tables(self.members))

    def with_heads(self, heads: Mapping[Stage, LaplaceLogistic], posterior: int) -> Compiled:
        """Under another posterior: its S weight vectors are drawn once, from a seed that the model's version and `posterior` give. Other heads stay."""
        model = replace(self.model, heads={**self.model.heads, **heads})
        drawn = _drawn(model, self.settings, self.version, posterior)
        kernel = _kernel(model, self.settings, (self.shelf, self.said), drawn)
        return replace(self, model=model, posterior=posterior, drawn=drawn, kernel=kernel, tables=kernel.tables(self.members))

    def score(self, features: Mapping[str, object], context: Context, feasible: Sequence[int]) -> Scores:
        """Exact probability of each arm at the positions `feasible` of `arm_ids`, without repeats; as `select.propensities` under the same weights.

        Raises DataError where there is none, IndexError for a position that is no arm.
        """
        plan, epsilon = self.shelf.plan(feasible), self.settings.exploration.epsilon
        if self.tables is None:
            wins = self.kernel.wins(self.members.base(features, context), plan)
            return Scores((1 - epsilon) * wins / self.kernel.heads.draws + epsilon / len(wins))
        p, constant = np.empty(len(plan.order)), self.members.contexts[context.surface, context.hour, context.weekday][0]
        score(*self.members.read(features), constant, plan.menu, self.tables, epsilon, p)
        return Scores(p)

    def utilities(self, features: Mapping[str, object], context: Context, feasible: Sequence[int]) -> Singles:
        """Utility of each feasible arm under each draw, [A, S], as `select.draw_utilities`."""
        return self.kernel.utilities(self.members.base(features, context), self.shelf.plan(feasible))

    def moments(self, features: Mapping[str, object], context: Context, feasible: Sequence[int]) -> Moments:
        """What the posterior expects of each feasible arm, to explain a decision."""
        money = self.utilities(features, context, feasible).astype(np.float64)
        with torch.no_grad():
            means = self.model.means(torch.from_numpy(self.phi(features, context, feasible)))
        return Moments(money.mean(axis=1), money.std(axis=1), {label: p.numpy().astype(np.float64) for label, p in means.items()})

    def phi(self, features: Mapping[str, object], context: Context, arms: Sequence[int]) -> Singles:
        """phi of the member with each of the arms at positions `arms`, [n, d], layer by layer: what a posterior learns from."""
        rows = torch.from_numpy(self.shelf.row[np.asarray(arms, dtype=np.int64)])
        with torch.no_grad():
            found: Singles = pairs(self.model.towers, self.model.members.row(features, context), self.said.whole[rows][None])[0].numpy()
        return found


def pick(p: npt.NDArray[np.float64], u: float) -> int:
    """Position of the arm that `u` in [0, 1) picks from the probabilities `p` [A]: the first whose cumulated probability is above `u`.

    Where rounding leaves their sum below `u`, the last arm that has any. An arm of probability 0 is never picked.
    """
    found = int(p.cumsum().searchsorted(u, side="right"))
    return found if found < len(p) else int(np.flatnonzero(p)[-1])


def seed_of(version: str, posterior: int) -> int:
    """Seed of the draws that all decisions under this posterior share."""
    return int.from_bytes(sha256(f"{version}:{posterior}".encode()).digest()[:8], "big") >> 1


def _drawn(model: MatchingModel, settings: Settings, version: str, posterior: int) -> dict[Stage, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed_of(version, posterior))
    return draw_weights(model.heads, settings.exploration.draws, settings.exploration.nu or model.nu, generator)


def _kernel(model: MatchingModel, settings: Settings, arms: tuple[Shelf, Said], drawn: Mapping[Stage, torch.Tensor]) -> Kernel:
    shelf, said = arms
    heads = Heads.build(model.towers, said, drawn, settings.exploration.draws)
    return Kernel(heads, Pairs.build(model.towers, said), settings.utility, shelf)
