"""A small bandit world with a known truth, for tests of estimators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.logged import Logged, Policy


@dataclass(frozen=True)
class World:
    """`effects` [actions, features] and `base` [actions] are the logits of a 0/1 reward; each cluster of `per` rows shares its features."""

    effects: np.ndarray
    base: np.ndarray
    per: int = 1

    def sample(self, n: int, seed: int) -> tuple[Logged, Policy, np.ndarray, float]:
        """n decisions of a softmax logging policy, a sharper target, the features, and the target's true value on many rows."""
        rng = np.random.default_rng(seed)
        k, d = self.effects.shape
        clusters = -(-n // self.per)
        cluster = np.repeat(np.arange(clusters), self.per)[:n]
        x = rng.normal(size=(clusters, d))[cluster]
        mean = 1 / (1 + np.exp(-(self.base + x @ self.effects.T)))
        logging = 0.8 * softmax(x[:, :1] * np.linspace(-1, 1, k)) + 0.2 / k
        target = softmax(2 * x @ self.effects.T)
        action = (logging.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
        rows = np.arange(n)
        reward = (rng.random(n) < mean[rows, action]).astype(float)
        log = Logged(action.astype(np.int64), logging[rows, action], reward, cluster.astype(np.int64))
        policy = Policy(np.arange(n + 1) * k, np.tile(np.arange(k), n), target.ravel())
        return log, policy, x, float((target * mean).sum(axis=1).mean())


def softmax(scores: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    e = np.exp(scores - scores.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)
