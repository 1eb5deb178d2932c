"""Does the log support the question? Diagnostics of importance weights, and the sentences that warn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.evaluation.intervals import Floats, Ints, cluster_sums

THIN = 200.0
"""Effective rows below which a warning is given (ours)."""
FEW = 30
"""Clusters below which an interval clustered on them is rough (a common rule of thumb)."""
HEAVY = 0.05
"""Share of all weight on one row above which a warning is given (ours)."""


@dataclass(frozen=True)
class Support:
    """`effective_sample_size` is Kish's (sum w)^2 / sum w^2; `mean_weight` is 1 in expectation where propensities are right and support is full.

    `unseen` is reward-free probability: by how much the mean weight misses 1 beyond sampling error (3 clustered standard errors).
    """

    rows: int
    clusters: int
    effective_sample_size: float
    max_weight: float
    mean_weight: float
    max_weight_share: float
    unseen: float
    typical_weight: float
    cluster_factor: float


def support(weight: Floats, cluster: Ints) -> Support:
    """Diagnose `weight` [n] = target probability / propensity of the logged action."""
    total, square = float(weight.sum()), float(np.square(weight).sum())
    n = len(weight)
    mean = total / n
    sums = cluster_sums(weight, cluster)
    spread = float(np.sqrt(np.square(cluster_sums(weight - mean, cluster)).sum())) / n
    typical = square / total if total > 0.0 else 1.0
    per_cluster = float(np.square(sums).sum()) / total if total > 0.0 else float(np.bincount(cluster).max())
    return Support(
        rows=n,
        clusters=len(sums),
        effective_sample_size=total**2 / square if square > 0.0 else 0.0,
        max_weight=float(weight.max()),
        mean_weight=mean,
        max_weight_share=float(weight.max()) / total if total > 0.0 else 1.0,
        unseen=max(0.0, abs(mean - 1.0) - 3.0 * spread - 1e-3),
        typical_weight=typical,
        cluster_factor=max(1.0, per_cluster / typical),
    )


def warnings(found: Support) -> list[str]:
    """What a reader must know before believing a number, in plain sentences."""
    said = []
    if found.effective_sample_size < THIN:
        said.append(
            f"Thin support: {found.rows} row(s) count like {found.effective_sample_size:.1f}. The intervals are wide for that reason; "
            "log more data with a policy nearer to the target."
        )
    if found.max_weight_share > HEAVY:
        said.append(
            f"One row carries {found.max_weight_share:.0%} of all weight (weight {found.max_weight:.6g}): the estimate hangs on its reward. "
            "Look at the smallest propensities."
        )
    if found.unseen > 0.0:
        said.append(
            f"The mean weight is {found.mean_weight:.4g} and should be about 1: "
            "the propensities are wrong, or the target chooses what the log could not choose. "
            f"The intervals are widened by {found.unseen:.2g} of the reward's range."
        )
    elif abs(found.mean_weight - 1.0) > HEAVY * 2:
        said.append(f"The mean weight is {found.mean_weight:.4g} and should be about 1; with this few effective rows that may be chance or missing support.")
    if found.clusters < FEW:
        said.append(f"Only {found.clusters} cluster(s): an interval clustered on so few is a rough guide.")
    return said
