"""Do the intervals of `ope` hold the truth, and does `gate` promote by chance no more often than it says? Simulated, with known truth, in about a minute.

    .venv/bin/python infra/scripts/coverage.py

First table: share of logs whose 95% interval holds the target's true value, by estimator; mean width of DR's; share of logs with a warning.
Second table: share of experiments in which a rule passes though the truth lies exactly on its threshold (nominal: 5%), and two of power.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from training.domain.nouns import RuleKind
from training.domain.rules import Rule
from training.evaluation.estimators import NAMES, evaluate
from training.evaluation.logged import Logged, Policy
from training.evaluation.reward_model import cross_fitted
from training.evaluation.reward_shape import reward_warnings
from training.evaluation.support import warnings
from training.evaluation.two_groups import judge

Floats = npt.NDArray[np.float64]
Random = np.random.Generator
Draw = Callable[[Random, int], Floats]


class World(NamedTuple):
    """n decisions: logging and target policy [n, k], mean reward of each action [n, k], features [n, d], a cluster each, and how a reward is drawn.

    `claimed`: the propensities that the log states, where they are not those that it has.
    """

    logging: Floats
    target: Floats
    mean: Floats
    features: Floats
    cluster: npt.NDArray[np.int64]
    reward: Callable[[Random, Floats], Floats] = lambda rng, mean: (rng.random(len(mean)) < mean).astype(np.float64)
    claimed: Floats | None = None


def softmax(scores: Floats) -> Floats:
    """Probabilities along the last axis."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True), dtype=np.float64)


def supported(rng: Random, n: int, actions: int = 5) -> World:
    """Every action has a chance everywhere."""
    fixed = np.random.default_rng(7)
    taste, wish, base = fixed.normal(size=(3, actions))
    z = rng.normal(size=(n, 1))
    mean = 0.1 + 0.4 / (1 + np.exp(-(z * base + wish)))
    return World(softmax(z * taste), softmax(z * wish + base), mean, z, np.arange(n))


def missing(rng: Random, n: int, share: float, everywhere: bool) -> World:
    """`share` of the target's probability is on an action that pays 0.9 instead of 0.1 and that the log never takes: at all, or in that share of contexts."""
    hidden = np.full((n, 1), everywhere) if everywhere else rng.random((n, 1)) < share
    chance = np.where(hidden, 0.0, 0.25)
    wanted = np.full((n, 1), share) if everywhere else hidden.astype(np.float64)
    logging = np.hstack([softmax(rng.normal(size=(n, 3))) * (1 - chance), chance])
    target = np.hstack([softmax(rng.normal(size=(n, 3))) * (1 - wanted), wanted])
    mean = np.full((n, 4), 0.1)
    mean[:, 3] = np.where(hidden[:, 0], 0.9, 0.1)
    return World(logging, target, mean, rng.normal(size=(n, 1)), np.arange(n))


def turned(world: World) -> World:
    """Hidden actions pay less than all others instead of more."""
    return world._replace(mean=1.0 - world.mean)


def wrong(rng: Random, n: int, factor: float) -> World:
    """The log takes the target's favourite `factor` times as often as it claims, and the others for the rest."""
    found = supported(rng, n)
    best = found.target.argmax(axis=1)[:, None] == np.arange(found.target.shape[1])
    claimed = np.full(found.target.shape, 0.2)
    true = np.where(best, 0.2 * factor, (1 - 0.2 * factor) / 4)
    return found._replace(logging=true, claimed=claimed)


def level(rng: Random, n: int) -> World:
    """Rewards of 1000 +- 1, and a tenth of the target on an action that was never taken."""
    found = missing(rng, n, 0.1, everywhere=True)
    return found._replace(mean=np.full((n, 4), 1000.0), reward=lambda g, mean: mean + g.normal(size=len(mean)))


def amounts(_: Random, n: int) -> World:
    """1% of rows have a lognormal amount, the others nothing."""
    even = np.full((n, 2), 0.5)
    tilt = even + np.array([0.1, -0.1])
    return World(even, tilt, np.ones((n, 2)), np.zeros((n, 0)), np.arange(n), lambda g, mean: spend(0.01)(g, len(mean)) * mean)


def unequal(rng: Random, n: int) -> World:
    """A hundred members of which the k-th has about 1 / k of the rows, with members of different taste."""
    share = 1 / np.arange(1, 101)
    cluster = rng.choice(100, n, p=share / share.sum())
    taste = rng.normal(size=100)[cluster]
    rate = 1 / (1 + np.exp(1.5 - taste))
    mean = np.column_stack([rate, 0.8 * rate, np.minimum(1.2 * rate, 1.0)])
    return World(np.full((n, 3), 1 / 3), softmax(np.tile([0.0, 0.5, 1.0], (n, 1))), mean, np.zeros((n, 0)), np.unique(cluster, return_inverse=True)[1])


OFF_POLICY: tuple[tuple[str, Callable[[Random, int], World], int], ...] = (
    ("full support", supported, 2000),
    ("full support, 100 actions", lambda rng, n: supported(rng, n, 100), 1000),
    ("5% of the target never taken", lambda rng, n: missing(rng, n, 0.05, everywhere=True), 3000),
    ("10% never taken, reward 1000 +- 1", level, 2000),
    ("missing in 5% of contexts", lambda rng, n: missing(rng, n, 0.05, everywhere=False), 3000),
    ("missing in 10% of contexts", lambda rng, n: missing(rng, n, 0.1, everywhere=False), 1000),
    ("5% never taken, pays less", lambda rng, n: turned(missing(rng, n, 0.05, everywhere=True)), 3000),
    ("missing in 5%, pays less there", lambda rng, n: turned(missing(rng, n, 0.05, everywhere=False)), 3000),
    ("missing in 10%, pays less there", lambda rng, n: turned(missing(rng, n, 0.1, everywhere=False)), 1000),
    ("favourites taken 15% less than claimed", lambda rng, n: wrong(rng, n, 0.85), 3000),
    ("favourites taken 15% more than claimed", lambda rng, n: wrong(rng, n, 1.15), 3000),
    ("1% of rows have an amount", amounts, 500),
    ("100 clusters of unequal size", unequal, 2000),
)


def truth(draw: Callable[[Random, int], World], n: int) -> float:
    """The target's value, over many decisions."""
    rng = np.random.default_rng(10**6)
    worlds = [draw(rng, n) for _ in range(max(1, 300_000 // n))]
    return float(np.mean([(w.target * w.mean).sum(axis=1).mean() for w in worlds]))


def one_log(world: World, rng: Random, value: float) -> tuple[list[bool], float, bool]:
    """Whether each estimator's interval holds `value`, the width of DR's, and whether anything is warned of."""
    n, k = world.logging.shape
    action = (world.logging.cumsum(axis=1) > rng.random((n, 1)) * world.logging.sum(axis=1, keepdims=True)).argmax(axis=1)
    rows = np.arange(n)
    log = Logged(action, (world.logging if world.claimed is None else world.claimed)[rows, action], world.reward(rng, world.mean[rows, action]), world.cluster)
    policy = Policy(np.arange(n + 1) * k, np.tile(np.arange(k), n), world.target.ravel())
    found, support = evaluate(log, policy, cross_fitted(log, policy, world.features, k, 5), 0.05)
    said = warnings(support) + reward_warnings(log.reward, found["snips"].influence, log.cluster)
    held = [found[name].interval[0] <= value <= found[name].interval[1] for name in NAMES]
    return held, found["dr"].interval[1] - found["dr"].interval[0], bool(said)


def spend(share: float) -> Draw:
    """Mean 1: that share of rows has a lognormal amount."""
    return lambda rng, n: (rng.random(n) < share) * np.exp(rng.normal(size=n) - 0.5) / share


def rate(p: float) -> Draw:
    """0/1 with mean p."""
    return lambda rng, n: (rng.random(n) < p).astype(np.float64)


def normal(mean: float) -> Draw:
    """Standard deviation 1."""
    return lambda rng, n: rng.normal(mean, 1.0, n)


def times(factor: float, draw: Draw) -> Draw:
    """The same, larger or smaller."""
    return lambda rng, n: factor * draw(rng, n)


EXPERIMENTS: tuple[tuple[str, Draw, Draw, int, int, float], ...] = (
    ("0/1 at 10%, no effect", rate(0.1), rate(0.1), 2000, 2000, 0.0),
    ("0/1 at 50%, no effect", rate(0.5), rate(0.5), 4, 4, 0.0),
    ("0/1 at the margin: 95.0% to 94.5%", rate(0.95), rate(0.945), 4000, 4000, 0.005),
    ("normal, no effect", normal(0.0), normal(0.0), 200, 2000, 0.0),
    ("5% have an amount, no effect", spend(0.05), spend(0.05), 2000, 2000, 0.0),
    ("5% have an amount, no effect", spend(0.05), spend(0.05), 200, 2000, 0.0),
    ("1% have an amount, no effect", spend(0.01), spend(0.01), 500, 5000, 0.0),
    ("5% have an amount, at the margin", spend(0.05), times(0.8, spend(0.05)), 200, 2000, 0.2),
    ("power: normal +0.05 (exact: 80%)", normal(0.0), normal(0.05), 5000, 5000, 0.0),
    ("power: 1% have an amount, +50%", spend(0.01), times(1.5, spend(0.01)), 20_000, 20_000, 0.0),
)


def passes(before: Draw, after: Draw, sizes: tuple[int, int], margin: float, rng: Random) -> bool:
    """Whether the rule passes in one experiment at alpha 5%."""
    rule = Rule("metric", RuleKind.NON_INFERIOR, margin) if margin else Rule("metric", RuleKind.SUPERIOR)
    found = judge({"metric": before(rng, sizes[0])}, {"metric": after(rng, sizes[1])}, [rule], 0.05, sizes[1] / sizes[0])
    return found.evidence[0].passed


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--logs", type=int, default=300, help="logs a world")
    parser.add_argument("--experiments", type=int, default=2000, help="experiments a world")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{'ope, 95% intervals':38}{'rows':>7}{'ips':>8}{'snips':>8}{'dr':>8}{'width':>9}{'warned':>8}")
    for name, draw, n in OFF_POLICY:
        rng, value = np.random.default_rng(arguments.seed), truth(draw, n)
        logs = [one_log(draw(rng, n), rng, value) for _ in range(arguments.logs)]
        held = "".join(f"{share:8.1%}" for share in np.mean([log[0] for log in logs], axis=0))
        print(f"{name:38}{n:7}{held}{np.mean([log[1] for log in logs]):9.4f}{np.mean([log[2] for log in logs]):8.0%}", flush=True)
    print(f"\n{'gate, alpha 5%':38}{'control':>9}{'treatment':>11}{'passed':>9}")
    for name, before, after, a, b, margin in EXPERIMENTS:
        rng = np.random.default_rng(arguments.seed)
        passed = [passes(before, after, (a, b), margin, rng) for _ in range(arguments.experiments)]
        print(f"{name:38}{a:9}{b:11}{np.mean(passed):9.1%}", flush=True)


if __name__ == "__main__":
    main()
