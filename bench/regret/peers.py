"""Bandits of other libraries (extra `bench`), each used as its own documentation does; what is not installed is named and left out.

bayesianbandits, mabwiser and Vowpal Wabbit are imported when a policy is made, not before: `loop.warm` makes one before the clock starts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.regret.linear import Floats, uniform, with_intercept
from bench.regret.loop import Arms, Maker, Policy, Rewards, Rows

NARROW = 100
"""Columns up to which a peer with matrices sees every answer at once, and Vowpal Wabbit pairs of columns."""
SHARE = 0.02
"""Beyond: how many more rounds, of those so far, a peer with matrices decides before it sees the answers; 10,000 rounds are about 296 updates."""
PAIRS = "--interactions sa --interactions ssa --ignore_linear s"
"""Row x arm and row x row x arm: squares and products for each arm, as coba's learners for Vowpal Wabbit have by default ("a, ax, axx")."""
PAIRED = 300
"""Features of degree up to two that bayesianbandits is given where they are no more; beyond, the columns alone."""
LINES = "--interactions sa --ignore_linear s"
"""Row x arm: a linear model for each arm."""
EXPLORERS = {
    "vw-squarecb": "--squarecb --gamma_scale 1000",
    "vw-regcb": "--regcbopt --cb_min_cost=-1 --cb_max_cost=0",
    "vw-bag": "--bag 5",
}
"""Vowpal Wabbit's options, the rest at their defaults (`--cb_type mtr`, adaptive, normalised, invariant updates). Of gamma_scale 10 (default), 100 and 1000
the last had the least regret on magic and covertype together."""


@dataclass
class Learned:
    """How many rounds a peer waits: none with few columns, else `SHARE` of the rounds so far."""

    columns: int

    def unscaled(self) -> bool:
        """No: it forgets rows."""
        return False

    def patience(self, rounds: int) -> int:
        """At least 1."""
        return 1 if self.columns <= NARROW else 1 + int(SHARE * rounds)


@dataclass
class BayesianBandits(Learned):
    """A `ContextualAgent` of bayesianbandits, its `pull` and `update`, on what `features` makes of rows."""

    agent: Any
    features: Callable[[Rows], Floats]

    def choose(self, x: Rows) -> Arms:
        """One arm a row."""
        return np.array(self.agent.pull(self.features(x)), dtype=np.int64)

    def learn(self, x: Rows, arms: Arms, rewards: Rewards) -> None:
        """Each arm's answers at once."""
        rows = self.features(x)
        for arm in np.unique(arms):
            self.agent.select_for_update(int(arm)).update(rows[arms == arm], rewards[arms == arm].astype(np.float64))


@dataclass
class MabWiser(Learned):
    """A `MAB` of mabwiser, its `predict` and `partial_fit`. It cannot predict before its first answers: until then arms are chosen at random."""

    mab: Any
    first: Policy
    fitted: bool = False

    def choose(self, x: Rows) -> Arms:
        """One arm a row."""
        if not self.fitted:
            return self.first.choose(x)
        return np.atleast_1d(np.asarray(self.mab.predict(with_intercept(x)), dtype=np.int64))

    def learn(self, x: Rows, arms: Arms, rewards: Rewards) -> None:
        """All answers at once."""
        self.mab.partial_fit(arms, rewards.astype(np.float64), with_intercept(x))
        self.fitted = True


@dataclass
class VowpalWabbit:
    """A `Workspace` of Vowpal Wabbit with `--cb_explore_adf`: an arm is drawn from its probabilities, its cost is minus the reward."""

    workspace: Any
    arms: int
    rng: np.random.Generator
    shown: list[tuple[str, float]] = field(default_factory=list)

    def unscaled(self) -> bool:
        """No: it forgets rows."""
        return False

    def patience(self, rounds: int) -> int:  # noqa: ARG002 - learns from every answer at any time
        """One."""
        return 1

    def choose(self, x: Rows) -> Arms:
        """One arm a row."""
        self.shown, chosen = [], np.zeros(len(x), dtype=np.int64)
        for i, row in enumerate(x):
            shared = "shared |s " + " ".join(f"{j}:{value:.7g}" for j, value in enumerate(row.tolist()) if value)
            odds = np.array(self.workspace.predict([shared, *(f"|a {arm}" for arm in range(self.arms))]), dtype=np.float64)
            chosen[i] = self.rng.choice(self.arms, p=odds / odds.sum())
            self.shown.append((shared, odds[chosen[i]]))
        return chosen

    def learn(self, x: Rows, arms: Arms, rewards: Rewards) -> None:  # noqa: ARG002 - the rows were written out by `choose`
        """Each answer on its own, with the probability that its arm had."""
        for (shared, odds), chosen, reward in zip(self.shown, arms, rewards, strict=True):
            label = f"0:{-reward}:{odds} "
            self.workspace.learn([shared, *(f"{label if arm == chosen else ''}|a {arm}" for arm in range(self.arms))])


def bayesian_bandits(columns: int, arms: int, rounds: int, seed: int) -> Policy:  # noqa: ARG001 - a Maker
    """Thompson sampling on a Bayesian linear regression an arm whose prior and noise are tuned by evidence, "when hyperparameters are unknown".

    Dense: its guide keeps `sparse=True` for features whose precision matrix stays sparse. Of its five linear learners with their
    defaults, this one had the least regret on magic with rows of length 1, and one within 1% of the least with standardised columns.
    """
    return BayesianBandits(columns, _evidence_tuned(arms, seed), with_intercept)


def bayesian_bandits_pairs(columns: int, arms: int, rounds: int, seed: int) -> Policy:
    """The same on squares and products of columns too, by scikit-learn's transformer as its pipelines are used; plain where that is more than `PAIRED`."""
    from sklearn.preprocessing import PolynomialFeatures

    pairs = PolynomialFeatures(2).fit(np.zeros((1, columns)))
    if pairs.n_output_features_ > PAIRED:
        return bayesian_bandits(columns, arms, rounds, seed)
    return BayesianBandits(pairs.n_output_features_, _evidence_tuned(arms, seed), lambda x: np.asarray(pairs.transform(x.astype(np.float64))))


def _evidence_tuned(arms: int, seed: int) -> Any:  # noqa: ANN401 - the peer has no types that we import before it is used
    from bayesianbandits import Arm, ContextualAgent, EmpiricalBayesNormalRegressor, ThompsonSampling

    learners = [Arm(arm, learner=EmpiricalBayesNormalRegressor()) for arm in range(arms)]
    return ContextualAgent(learners, ThompsonSampling(), random_seed=seed)


def mabwiser_linucb(columns: int, arms: int, rounds: int, seed: int) -> Policy:
    """`LearningPolicy.LinUCB` with its defaults (alpha 1, lambda 1)."""
    from mabwiser.mab import MAB, LearningPolicy

    return MabWiser(columns, MAB(list(range(arms)), LearningPolicy.LinUCB(), seed=seed), uniform(columns, arms, rounds, seed))


def mabwiser_lints(columns: int, arms: int, rounds: int, seed: int) -> Policy:
    """`LearningPolicy.LinTS` with lambda 1 and the alpha of its documented example, 0.25: less regret on magic than its default, 1."""
    from mabwiser.mab import MAB, LearningPolicy

    return MabWiser(columns, MAB(list(range(arms)), LearningPolicy.LinTS(alpha=0.25), seed=seed), uniform(columns, arms, rounds, seed))


def vowpal_wabbit(explorer: str) -> Maker:
    """The maker of one of `EXPLORERS`."""

    def make(columns: int, arms: int, rounds: int, seed: int) -> Policy:  # noqa: ARG001 - a Maker
        from vowpalwabbit import Workspace

        features = PAIRS if columns <= NARROW else LINES
        options = f"--cb_explore_adf {EXPLORERS[explorer]} {features} -b 20 --random_seed {seed + 1} --quiet"
        return VowpalWabbit(Workspace(options), arms, np.random.default_rng([seed, 2]))

    return make


PEERS: dict[str, tuple[str, Maker]] = {
    "bayesianbandits": ("bayesianbandits", bayesian_bandits),
    "bayesianbandits-pairs": ("bayesianbandits", bayesian_bandits_pairs),
    "mabwiser-linucb": ("mabwiser", mabwiser_linucb),
    "mabwiser-lints": ("mabwiser", mabwiser_lints),
    **{name: ("vowpalwabbit", vowpal_wabbit(name)) for name in EXPLORERS},
}
"""Policy -> the package that it needs, and its maker."""


def installed() -> dict[str, Maker]:
    """The peers that can play here, by name."""
    return {name: maker for name, (package, maker) in PEERS.items() if find_spec(package) is not None}


def missing() -> dict[str, str]:
    """The others: name -> a sentence that says what to install."""
    return {
        name: f"{name} is left out: {package} is not installed. Install it with `pip install 'rightmatch[bench]'`."
        for name, (package, _) in PEERS.items()
        if find_spec(package) is None
    }
