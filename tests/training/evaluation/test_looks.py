from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from training.domain.nouns import RuleKind, VerdictKind
from training.domain.rules import Rule
from training.evaluation.assigned import assignment
from training.evaluation.cohorts import Sums, difference
from training.evaluation.looks import FEWEST, HARMLESS, WHOLE, Measured, Role, Stage, interval, look, stage_of
from training.evaluation.sequential import planned_error, radius, refuting

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
    assert interval(early, 0.05, 0.05, 0.2) == interval(early, 0.05, 0.05)  # no stage asks it to be shown harmless
    assert [interval(replace(early, note=note), 0.05, 0.05).note for note in ("", "days 1 to 7")] == ["early", "early, days 1 to 7"]


@pytest.mark.parametrize(("share", "kind"), [(0.15, VerdictKind.REJECT), (0.05, VerdictKind.PROMOTE)])
def test_harm_to_a_segment_does_not_hide_in_the_mean(share, kind):
    """Members of one country lose 5 points; with a tenth of all members or more that rejects, below it is not looked at."""
    hurt = replace(STAYED, value=-0.05, error=0.004, role=Role.SEGMENT, share=share, where="country DE")
    fine = replace(STAYED, error=0.002, role=Role.SEGMENT, share=0.3, where="country FR")
    found = look([BOUGHT, STAYED, hurt, fine], [FAIR], 0.05)
    assert found.kind is kind
    assert ("country DE" in found.reason) == (kind is VerdictKind.REJECT)


def test_a_segment_of_few_members_holds_up_the_last_stage_alone():
    """A tenth of 4,600 a group is less than FEWEST and stays so when all have entered: it is shown, neither passed nor refuted. No promotion without it."""
    few = replace(STAYED, role=Role.SEGMENT, share=0.1, where="country FR", members=(FEWEST - 1, FEWEST), error=0.02)
    found = look([BOUGHT, STAYED, few], [FAIR], 0.05, HARMLESS)
    assert found.kind is VerdictKind.PROMOTE
    assert (found.evidence[2].passed, found.evidence[2].refuted) == (False, False)
    assert look([BOUGHT, STAYED, few], [FAIR], 0.05).kind is VerdictKind.HOLD
    assert look([BOUGHT, STAYED, replace(few, members=(FEWEST, FEWEST))], [FAIR], 0.05, HARMLESS).kind is VerdictKind.HOLD


def test_a_segment_must_be_shown_harmless_by_its_own_margin():
    """A quarter of the members: twice the margin, 1 point. An error of 0.3 points passes at a value of 0, not at -0.6 points; neither is refuted."""
    part = replace(STAYED, error=0.003, role=Role.SEGMENT, share=0.25, where="new members")
    good, bad = (look([BOUGHT, STAYED, replace(part, value=v)], [FAIR], 0.05) for v in (0.0, -0.006))
    assert (good.kind, bad.kind) == (VerdictKind.PROMOTE, VerdictKind.HOLD)
    assert good.evidence[2].threshold == pytest.approx(-0.01)
    assert not bad.evidence[2].refuted


def test_more_segments_make_none_harder_to_pass_and_each_harder_to_refute():
    """All of them must pass, so none splits alpha for that; one that is refuted is enough, so for that they do. Of success metrics one is enough."""
    part = replace(STAYED, error=0.003, role=Role.SEGMENT, share=0.25, where="DE")
    alone, one_of_three = (look([BOUGHT, part, *more], [FAIR], 0.05).evidence[1].interval for more in ((), [replace(part, where=w) for w in ("FR", "IT")]))
    assert alone[0] == one_of_three[0]
    assert alone[1] < one_of_three[1]
    assert one_of_three == pytest.approx(interval(part, 0.05, 0.05 / 3).interval)
    two = look([BOUGHT, replace(BOUGHT, rule=Rule("revenue", RuleKind.SUPERIOR))], [FAIR], 0.05)
    assert two.evidence[0].interval == interval(BOUGHT, 0.025, 0.025).interval


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


RAMP = (0.10, 0.25, 0.50, 0.75)


def test_a_stage_shows_its_share_of_the_largest_comparison():
    """By hand: 10% against 10% shows a fifth of what 50% against 50% shows; the last stage asks for everything, whatever it shows."""
    assert [stage_of(RAMP, k) for k in (1, 2, 3)] == [Stage(pytest.approx(0.2), gain=False), Stage(pytest.approx(0.5), gain=False), Stage(1.0, gain=False)]
    assert stage_of(RAMP, 4) == stage_of((0.1,), 1) == WHOLE
    assert stage_of((0.1, 0.2), 1) == Stage(pytest.approx(0.5), gain=False)
    assert stage_of((0.7, 0.9, 0.95), 2).shown == pytest.approx(0.09 / 0.21)


def test_an_early_stage_asks_for_wider_margins_and_no_gain():
    """A fifth of the information: margins times root five, of segments too; retention known to 1 point passes there and not at the end."""
    measured = [replace(BOUGHT, value=0.0), replace(STAYED, error=0.0027), replace(STAYED, error=0.0054, role=Role.SEGMENT, share=0.25, where="DE")]
    first = look(measured, [FAIR], 0.05, Stage(0.2, gain=False))
    assert first.kind is VerdictKind.PROMOTE
    assert "no gain was asked for" in first.reason
    assert [e.threshold for e in first.evidence[1:3]] == pytest.approx([-0.005 / 0.2**0.5, -0.005 / 0.05**0.5])
    assert not first.evidence[0].passed
    assert look(measured, [FAIR], 0.05).kind is VerdictKind.HOLD


def test_a_fall_of_sales_or_harm_rejects_at_every_stage():
    """Beyond the margin itself, not the stage's wider one, and by one sequence in all stages."""
    for stage in (Stage(0.2, gain=False), HARMLESS, WHOLE):
        assert look([replace(BOUGHT, value=-0.01), STAYED], [FAIR], 0.05, stage).kind is VerdictKind.REJECT
        found = look([BOUGHT, replace(STAYED, value=-0.008, error=0.0005)], [FAIR], 0.05, stage)
        assert found.kind is VerdictKind.REJECT
        assert found.evidence[1].refuted
        assert interval(STAYED, 0.05, 0.05, stage.shown).interval[1] == interval(STAYED, 0.05, 0.05).interval[1]


def test_nothing_measured_is_not_harmless():
    """No guardrail at all passes no stage."""
    assert look([replace(BOUGHT, role=Role.EARLY)], [FAIR], 0.05, HARMLESS).kind is VerdictKind.HOLD


def passes(value, error, members, shown):
    """`interval` on arrays: whether a retention rule passes at a stage that shows `shown` of the whole."""
    part = np.sqrt(shown)
    return (value - radius(error, planned_error(0.005, 0.05) / part, 0.05) > -0.005 / part) & (members >= FEWEST)


def test_the_array_form_is_the_rule():
    """Value by value, at three stages."""
    rng = np.random.default_rng(2)
    for value, error in zip(rng.normal(0, 0.005, 60), rng.uniform(0.0005, 0.006, 60), strict=True):
        for shown in (0.2, 0.5, 1.0):
            found = interval(replace(STAYED, value=value, error=error), 0.05, 0.05, shown)
            assert found.passed == passes(value, error, 40_000, shown)


def test_a_whole_ramp_promotes_harm_at_the_margin_with_probability_alpha_at_most():
    """2,000 experiments of known truth, looked at daily: retention truly 0.5 points lower; each goes through 10, 25, 50 and 75% as soon as its own rule
    passes, and through the last stage with probability alpha at most. Without harm most go through.
    """
    rng, runs, days, daily = np.random.default_rng(3), 2_000, 150, 2_000
    shown = np.array([stage_of(RAMP, k).shown for k in range(1, 5)])
    shares = np.array(RAMP)
    for harm, low, high in ((0.005, 0.0, 0.05), (0.0, 0.8, 1.0)):
        stage, promoted = np.zeros(runs, dtype=np.int64), np.zeros(runs, dtype=bool)
        sums = np.zeros((4, runs, days))
        for day in range(days):
            n1 = np.round(daily * shares[stage])
            n0 = np.round(daily * np.minimum(shares[stage], 1.0 - shares[stage]))
            sums[:, :, day] = n0, rng.binomial(n0.astype(int), 0.95), n1, rng.binomial(n1.astype(int), 0.95 - harm)
            if day % 3 == 2:
                control, treatment = (Sums(n, y, y) for n, y in (sums[:2, :, : day + 1], sums[2:, :, : day + 1]))
                found = difference(control, treatment)
                passed = passes(found.value[:, -1], found.error[:, -1], np.minimum(found.control, found.treatment)[:, -1], shown[stage])
                promoted |= passed & (stage == 3)
                stage = np.where(passed & (stage < 3), stage + 1, stage)
        assert low <= promoted.mean() <= high, promoted.mean()
        assert (stage > 0).mean() > promoted.mean()


def test_severe_harm_needs_few_members():
    """23 points fewer stay, 2 are allowed, and the error is far from what the margin needs: refuted, although by the margin's own sequence nothing is known."""
    harm = Measured(Rule("retained", RuleKind.NON_INFERIOR, 0.02), -0.23, 0.04, (700, 700))
    planned = planned_error(0.02, 0.05)
    assert np.isinf(radius(harm.error, planned, 0.05))
    assert interval(harm, 0.05, 0.05).refuted


def test_two_sequences_together_refute_by_chance_within_alpha():
    """At the margin exactly, looked at 2,000 times from 0.1% to twice the planned information, at most alpha of the paths are ever refuted."""
    rng, alpha, planned = np.random.default_rng(1), 0.05, planned_error(0.02, 0.05)
    information = np.geomspace(1e-3, 2.0, 2_000)
    path = (rng.standard_normal((4_000, 2_000)) * np.sqrt(np.diff(information, prepend=0.0))).cumsum(axis=1) / information * planned
    error = planned / np.sqrt(information)
    assert (path + refuting(error, planned, alpha) < 0.0).any(axis=1).mean() < alpha
