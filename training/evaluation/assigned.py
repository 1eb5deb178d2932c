"""Whether members came to the groups in the planned shares, tested at every look (Lindon and Malek 2022, "Anytime-valid inference for multinomial count data").

The Bayes factor of "any shares" (Dirichlet around the plan) against the planned shares is a martingale under the plan; it reaches 1 / alpha
with probability alpha at most, whenever one looks. A ramp changes the plan: each stage starts a Bayes factor of its own, and their product is one again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import special

from training.domain.nouns import Evidence, RuleKind
from training.evaluation.intervals import Floats

CONCENTRATION = 1000.0
"""Members that the belief in the plan is worth: departures of about 1 / sqrt(1000), 3%, are looked for first. Smaller ones take more members, not for ever."""
ASSIGNED_ALPHA = 0.001
"""A broken assignment makes every other number wrong, and a false stop costs a restart (Fabijan et al. 2019 use the same order)."""


def log_bayes_factor(counts: Floats, shares: Floats, concentration: float = CONCENTRATION) -> Floats:
    """[...] from members of each group so far [..., groups] and planned `shares` [groups], which sum to 1 and are above 0."""
    counts, shares = np.asarray(counts, dtype=np.float64), np.asarray(shares, dtype=np.float64)
    if not (shares > 0).all() or not np.isclose(shares.sum(), 1.0):
        raise ValueError(f"The planned shares {shares.tolist()} are not above 0 or do not sum to 1, so no count could be judged by them. Give the plan.")
    prior = concentration * shares
    n = counts.sum(axis=-1)
    grown = (special.gammaln(prior + counts) - special.gammaln(prior) - counts * np.log(shares)).sum(axis=-1)
    return np.asarray(special.gammaln(concentration) - special.gammaln(concentration + n) + grown)


def assignment(stages: Sequence[tuple[Sequence[int], Sequence[float]]], alpha: float = ASSIGNED_ALPHA) -> Evidence:
    """The check over all stages: (members of each group who entered in the stage, its planned shares).

    Value: log Bayes factor; it passes below ln(1 / alpha), and once it has not, the experiment is broken: its caller keeps that for good.
    """
    factor = float(sum(log_bayes_factor(np.asarray(n, dtype=np.float64), np.asarray(shares)) for n, shares in stages))
    limit = float(np.log(1.0 / alpha))
    members = sum(sum(n) for n, _ in stages)
    note = f"log Bayes factor {factor:.2f} against the planned shares, limit {limit:.2f}"
    if factor >= limit:
        note += "; assignment or logging is broken, so no other number of this experiment can be believed"
    return Evidence("sample_ratio", RuleKind.SAMPLE_RATIO, -factor, (-factor, -factor), -limit, members, bool(factor < limit), note=note)
