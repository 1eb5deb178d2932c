"""Does the log support the question? Diagnostics of importance weights, and the sentences that warn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from training.evaluation.intervals import Floats, Ints, cluster_sums
from training.evaluation.unseen import Unseen

THIN = 200.0
"""Effective rows below which a warning is given (ours)."""
FEW = 30
"""Clusters below which an interval clustered on them is rough (a common rule of thumb)."""
HEAVY = 0.05
"""Share of all weight on one row above which a warning is given (ours)."""
_SHOWN = 3


@dataclass(frozen=True)
class Support:
    """`effective_sample_size` is Kish's (sum w)^2 / sum w^2; `mean_weight` is 1 in expectation where propensities are right and support is full.

    `effective_clusters` counts clusters in the same way by their rows: a hundred of which one holds half of the log are about four.
    """

    rows: int
    clusters: int
    effective_clusters: float
    effective_sample_size: float
    max_weight: float
    mean_weight: float
    max_weight_share: float
    typical_weight: float
    cluster_factor: float
    unseen: Unseen

    def numbers(self) -> dict[str, float]:
        """All that is a number, by name; `unseen` is the mass for which the intervals are widened."""
        return asdict(self) | {"unseen": self.unseen.mass}


def support(weight: Floats, cluster: Ints, unseen: Unseen) -> Support:
    """Diagnose `weight` [n] = target probability / propensity of the logged action; `unseen` is what they show to be missing."""
    total, square = float(weight.sum()), float(np.square(weight).sum())
    n = len(weight)
    mean = total / n
    sums = cluster_sums(weight, cluster)
    crowd = np.bincount(cluster)
    typical = square / total if total > 0.0 else 1.0
    per_cluster = float(np.square(sums).sum()) / total if total > 0.0 else float(crowd.max())
    return Support(
        rows=n,
        clusters=len(sums),
        effective_clusters=n**2 / float(np.square(crowd).sum()),
        effective_sample_size=total**2 / square if square > 0.0 else 0.0,
        max_weight=float(weight.max()),
        mean_weight=mean,
        max_weight_share=float(weight.max()) / total if total > 0.0 else 1.0,
        typical_weight=typical,
        cluster_factor=max(1.0, per_cluster / typical),
        unseen=unseen,
    )


def warnings(found: Support, names: Sequence[str] = ()) -> list[str]:
    """What a reader must know before believing a number, in plain sentences; `names` are those of the action codes, where they are known."""
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
    said += _missing(found, names)
    if found.effective_clusters < FEW:
        same = found.effective_clusters > found.clusters - 0.5
        count = f"{found.clusters} cluster(s)" if same else f"{found.clusters} clusters of unequal size, which count like {found.effective_clusters:.1f}"
        said.append(f"Only {count}: an interval clustered on so few is a rough guide.")
    return said


def _missing(found: Support, names: Sequence[str]) -> list[str]:
    """The sentences on target probability that the log cannot speak for."""
    lack, said = found.unseen, []
    if lack.never > 0.0:
        said.append(
            f"{lack.never:.1%} of the target's probability lies on actions that the log never took, or not while another had propensity 1: nothing was seen."
        )
    if lack.short:
        said.append(
            f"The log took {_named([action for action, _ in lack.short], names)} less often than its propensities promise: up to "
            f"{sum(mass for _, mass in lack.short):.1%} of the target's probability lies where the log could not take it. "
            "The propensities are wrong, or some contexts never offered it."
        )
    weight = f"The mean weight is {found.mean_weight:.4g} and should be about {1.0 - lack.never:.4g}"
    if lack.off + lack.over > 0.0:
        said.append(f"{weight}: the propensities are wrong, or the target chooses what the log could not choose.")
    elif abs(found.mean_weight + lack.never - 1.0) > HEAVY * 2:
        said.append(f"{weight}; with this few effective rows that may be chance or missing support.")
    if lack.mass > 0.0:
        said.append(
            f"The intervals are widened by {lack.mass:.2g} of the target's probability at its worst reward within the range, "
            "that of IPS by as much of the largest reward."
        )
    return said


def _named(actions: Sequence[int], names: Sequence[str]) -> str:
    if not names:
        return f"{len(actions)} action(s)"
    first = ", ".join(repr(names[a]) for a in actions[:_SHOWN])
    return f"action {first}" + (f" and {len(actions) - _SHOWN} more" if len(actions) > _SHOWN else "")
