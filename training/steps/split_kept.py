"""Whether salt, holdback and control are those by which members were decided for: after a change of the settings what was before compares other members."""

from __future__ import annotations

from collections.abc import Sequence

from training.config.settings import Settings
from training.domain.nouns import RuleKind, Verdict
from training.evaluation.looks import Look

SPLIT = "split"
"""In the lineage of each look."""


def split_words(settings: Settings) -> str:
    """What decides who is held back."""
    e = settings.experiment
    return f"salt {e.salt}, holdback {e.holdback:g}, control {e.control:g}"


def why_broken(found: Look, settings: Settings, earlier: Sequence[Verdict], remedy: str) -> str:
    """What to say before the reason of a look whose checks failed: which settings were changed, and the `remedy`. Empty where the checks passed.

    `earlier` are the looks at the same comparison.
    """
    if all(e.passed for e in found.evidence if e.kind is RuleKind.SAMPLE_RATIO):
        return ""
    now = split_words(settings)
    other = next((v for v in reversed(earlier) if v.lineage.get(SPLIT, now) != now), None)
    if other is None:
        return f"If `experiment.salt`, `holdback` or `control` was changed: {remedy} "
    return f"The settings split members otherwise than at the look of {other.judged_at:%Y-%m-%d} ({other.lineage[SPLIT]}; now {now}): {remedy} "
