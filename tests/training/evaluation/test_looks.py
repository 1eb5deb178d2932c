from __future__ import annotations

from dataclasses import replace

import pytest

from training.domain.nouns import RuleKind, VerdictKind
from training.domain.rules import Rule
from training.evaluation.assigned import assignment
from training.evaluation.looks import Measured, Role, look

FAIR = assignment([([40_000, 40_000], [0.5, 0.5])])
MANY = (40_000, 40_000)
BOUGHT = Measured(Rule("converted", RuleKind.SUPERIOR), 0.010, 0.001, MANY, distance=0.01)
STAYED = Measured(Rule("retained", RuleKind.NON_INFERIOR, 0.005), 0.0, 0.0012, MANY)
LEFT = Measured(Rule("opted_out", RuleKind.NON_INFERIOR, 0.002, lower_is_better=True), 0.0, 0.0005, MANY)


def test_better_and_harmless_is_promoted():
    """Each guardrail is judged at alpha itself; the assignment comes last."""
    found = look([BOUGHT, STAYED, LEFT], [FAIR], 0.05)
    assert found.kind is VerdictKind.PROMOTE
    assert [e.name for e in found.evidence] == ["converted superior", "retained non_inferior", "opted_out non_inferior", "sample_ratio"]


def test_one_guardrail_not_shown_holds():
    """The same with a retention that may still have fallen by its margin."""
    found = look([BOUGHT, replace(STAYED, error=0.0025), LEFT], [FAIR], 0.05)
    assert found.kind is VerdictKind.HOLD
    assert "retained" in found.reason


def test_harm_beyond_the_margin_rejects():
    """Retention 0.8 points lower with an error of 0.05 points: wholly below -0.5 points."""
    found = look([BOUGHT, replace(STAYED, value=-0.008, error=0.0005), LEFT], [FAIR], 0.05)
    assert found.kind is VerdictKind.REJECT
    assert "retained" in found.reason


def test_harm_at_the_margin_is_neither():
    """Sure to be 0.5 points lower: not within the margin, not beyond it."""
    assert look([BOUGHT, replace(STAYED, value=-0.005, error=0.001), LEFT], [FAIR], 0.05).kind is VerdictKind.HOLD


def test_one_success_of_two_is_enough_at_half_of_alpha():
    """And each of the two has a wider sequence than alone."""
    second = replace(BOUGHT, rule=Rule("revenue", RuleKind.SUPERIOR), value=0.0)
    alone, both = look([BOUGHT, STAYED], [FAIR], 0.05), look([BOUGHT, second, STAYED], [FAIR], 0.05)
    assert both.kind is VerdictKind.PROMOTE
    assert both.evidence[0].interval[0] < alone.evidence[0].interval[0]


def test_nothing_better_holds_and_a_fall_rejects():
    """No superiority: HOLD. Sales that surely fell: REJECT."""
    assert look([replace(BOUGHT, value=0.0), STAYED], [FAIR], 0.05).kind is VerdictKind.HOLD
    assert look([replace(BOUGHT, value=-0.01), STAYED], [FAIR], 0.05).kind is VerdictKind.REJECT
    assert look([STAYED], [FAIR], 0.05).kind is VerdictKind.HOLD


def test_an_early_proxy_stops_and_never_promotes():
    """Dismissals that surely rose reject; dismissals that are fine, or success seen early, promote nothing."""
    early = Measured(Rule("dismissed", RuleKind.NON_INFERIOR, 0.01, lower_is_better=True), 0.0, 0.001, MANY, role=Role.EARLY)
    assert look([BOUGHT, STAYED, early], [FAIR], 0.05).kind is VerdictKind.PROMOTE
    assert look([BOUGHT, STAYED, replace(early, value=0.02)], [FAIR], 0.05).kind is VerdictKind.REJECT
    assert look([replace(BOUGHT, role=Role.EARLY), STAYED], [FAIR], 0.05).kind is VerdictKind.HOLD
    assert look([BOUGHT, STAYED, replace(early, error=1.0)], [FAIR], 0.05).kind is VerdictKind.PROMOTE


@pytest.mark.parametrize(("share", "kind"), [(0.15, VerdictKind.REJECT), (0.05, VerdictKind.PROMOTE)])
def test_harm_to_a_segment_does_not_hide_in_the_mean(share, kind):
    """Members of one country lose 5 points; with a tenth of all members or more that rejects, below it is not looked at."""
    hurt = replace(STAYED, value=-0.05, error=0.004, role=Role.SEGMENT, share=share, where="country DE")
    fine = replace(STAYED, error=0.002, role=Role.SEGMENT, share=0.3, where="country FR")
    found = look([BOUGHT, STAYED, hurt, fine], [FAIR], 0.05)
    assert found.kind is kind
    assert ("country DE" in found.reason) == (kind is VerdictKind.REJECT)


def test_a_segment_must_be_shown_harmless_by_its_own_margin():
    """A quarter of the members: twice the margin, 1 point. An error of 0.3 points passes at a value of 0, not at -0.6 points; neither is refuted."""
    part = replace(STAYED, error=0.003, role=Role.SEGMENT, share=0.25, where="new members")
    good, bad = (look([BOUGHT, STAYED, replace(part, value=v)], [FAIR], 0.05) for v in (0.0, -0.006))
    assert (good.kind, bad.kind) == (VerdictKind.PROMOTE, VerdictKind.HOLD)
    assert good.evidence[2].threshold == pytest.approx(-0.01)
    assert not bad.evidence[2].refuted


def test_a_broken_split_holds_whatever_the_rest_says():
    """Neither promotion nor rejection can be believed."""
    broken = assignment([([40_000, 37_000], [0.5, 0.5])])
    for value in (0.0, -0.1):
        found = look([BOUGHT, replace(STAYED, value=value), LEFT], [broken], 0.05)
        assert found.kind is VerdictKind.HOLD
        assert "not split as planned" in found.reason


def test_few_members_show_nothing():
    """499 in one group, whatever the error claims."""
    found = look([replace(m, members=(40_000, 499)) for m in (BOUGHT, replace(STAYED, value=-0.1))], [FAIR], 0.05)
    assert found.kind is VerdictKind.HOLD
    assert "fewer than 500" in found.evidence[1].note
