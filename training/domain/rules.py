"""The guardrail rules: how measured evidence becomes PROMOTE, REJECT or HOLD. Pure, so that the gate can be read on one screen.

Decision rule: a success metric must be superior and every guardrail non-inferior (Schultzberg, Ankargren and Frånberg 2024,
"Risk-aware product decisions in A/B tests with multiple metrics", decision rule 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from training.domain.labels import DISMISSED, VALUE
from training.domain.nouns import Evidence, Label, RuleKind, VerdictKind


@dataclass(frozen=True)
class Rule:
    """One promise. `margin` (absolute, >= 0) is the loss that is still called harmless; 0 for a superiority rule.

    `lower_is_better` turns the metric round (opt-outs) so that evidence always reads "larger is better".
    """

    metric: str
    kind: RuleKind
    margin: float = 0.0
    lower_is_better: bool = False

    def __post_init__(self) -> None:
        if self.kind is RuleKind.NON_INFERIOR and not self.margin > 0:
            raise ValueError(f"Rule on {self.metric}: a non-inferiority margin must be above 0, not {self.margin}; with 0 it would demand superiority.")
        if self.margin < 0:
            raise ValueError(f"Rule on {self.metric}: margin {self.margin} is negative; it is the size of the loss that is still harmless.")

    def measure(self, difference: float, interval: tuple[float, float], sample: int, note: str = "") -> Evidence:
        """Evidence for `difference` = challenger - baseline in the metric's own direction."""
        low, high = interval
        if self.lower_is_better:
            difference, low, high = -difference, -high, -low
        threshold = -self.margin
        return Evidence(
            name=f"{self.metric} {self.kind.value}",
            kind=self.kind,
            value=difference,
            interval=(low, high),
            threshold=threshold,
            sample=sample,
            passed=bool(low > threshold),
            refuted=bool(high < threshold),
            note=note,
        )


DEFAULT_RULES: tuple[Rule, ...] = (
    Rule(Label.CONVERTED.value, RuleKind.SUPERIOR),
    Rule(Label.RETAINED.value, RuleKind.NON_INFERIOR, margin=0.005),
    Rule(Label.OPTED_OUT.value, RuleKind.NON_INFERIOR, margin=0.002, lower_is_better=True),
    Rule(DISMISSED, RuleKind.NON_INFERIOR, margin=0.02, lower_is_better=True),
    Rule(VALUE, RuleKind.NON_INFERIOR, margin=0.5),
)
"""Without `[[rules]]` in the settings. The last margin is money, a twelfth of what a member of the simulated world spends in the week that a look counts."""


def conclude(evidence: Sequence[Evidence]) -> tuple[VerdictKind, str]:
    """The verdict and its reason in one sentence.

    Any refuted rule rejects; otherwise any rule that did not pass holds; only when each passed is the challenger promoted.
    """
    if not any(e.kind is RuleKind.SUPERIOR for e in evidence):
        return VerdictKind.HOLD, "No success metric was measured, and a promotion needs one that is superior."
    refuted = [e.name for e in evidence if e.refuted]
    if refuted:
        return VerdictKind.REJECT, f"Refuted by the evidence: {', '.join(refuted)}."
    missing = [e.name for e in evidence if not e.passed]
    if missing:
        return VerdictKind.HOLD, f"Not shown yet: {', '.join(missing)}. This is not the same as harmless; more mature data may decide it."
    return VerdictKind.PROMOTE, "A success metric is superior and every guardrail is non-inferior."
