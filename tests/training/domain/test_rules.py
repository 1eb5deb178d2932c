"""The rules by hand: what passes, what is refuted, what is only not shown yet."""

from dataclasses import replace

import pytest

from training.domain.nouns import RuleKind, VerdictKind
from training.domain.rules import DEFAULT_RULES, Rule, conclude

SUPERIOR = Rule("converted", RuleKind.SUPERIOR)
RETAINED = Rule("retained", RuleKind.NON_INFERIOR, margin=0.005)
OPTED_OUT = Rule("opted_out", RuleKind.NON_INFERIOR, margin=0.002, lower_is_better=True)


def test_superior_needs_the_whole_interval_above_zero():
    """[0.001, 0.003] is superior, [-0.001, 0.003] is not shown, [-0.003, -0.001] is refuted."""
    assert SUPERIOR.measure(0.002, (0.001, 0.003), 10).passed
    open_case = SUPERIOR.measure(0.001, (-0.001, 0.003), 10)
    assert not open_case.passed
    assert not open_case.refuted
    assert SUPERIOR.measure(-0.002, (-0.003, -0.001), 10).refuted


def test_non_inferior_is_measured_against_the_margin():
    """A loss whose interval ends above -0.5 points is harmless; one wholly below it is harm."""
    assert RETAINED.measure(-0.001, (-0.004, 0.002), 10).passed
    assert not RETAINED.measure(-0.001, (-0.006, 0.004), 10).passed
    assert RETAINED.measure(-0.01, (-0.02, -0.006), 10).refuted


def test_lower_is_better_turns_the_metric_round():
    """Opt-outs that rise by 0.3 to 0.5 points are refuted at a margin of 0.2; ones that fall pass."""
    assert OPTED_OUT.measure(0.004, (0.003, 0.005), 10).refuted
    fallen = OPTED_OUT.measure(-0.001, (-0.002, 0.0), 10)
    assert fallen.passed
    assert fallen.value == 0.001
    assert fallen.interval == (0.0, 0.002)
    open_case = OPTED_OUT.measure(0.001, (-0.001, 0.003), 10)
    assert (open_case.passed, open_case.refuted, open_case.interval) == (False, False, (-0.003, 0.001))


def test_the_edge_itself_does_not_pass():
    """An interval that ends exactly at the threshold shows nothing, neither good nor harm."""
    assert not SUPERIOR.measure(0.001, (0.0, 0.002), 10).passed
    assert not SUPERIOR.measure(-0.001, (-0.002, 0.0), 10).refuted


@pytest.mark.parametrize("rule", DEFAULT_RULES, ids=lambda rule: rule.metric)
def test_the_default_rules_know_which_way_harm_lies(rule):
    """More opt-outs and dismissals, less of everything else; the other way round each passes."""
    worse = 1.0 if rule.metric in {"opted_out", "dismissed"} else -1.0
    assert rule.measure(worse, (worse - 0.1, worse + 0.1), 10).refuted
    assert rule.measure(-worse, (-worse - 0.1, -worse + 0.1), 10).passed


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        (("passed", "passed"), VerdictKind.PROMOTE),
        (("passed", "open"), VerdictKind.HOLD),
        (("open", "refuted"), VerdictKind.REJECT),
        (("passed", "refuted"), VerdictKind.REJECT),
        (("refuted", "passed"), VerdictKind.REJECT),
    ],
)
def test_conclude(states, expected):
    """Refuted beats open, open beats passed."""
    base = (SUPERIOR.measure(0.002, (0.001, 0.003), 10), RETAINED.measure(0.0, (-0.001, 0.001), 10))
    evidence = [replace(e, passed=s == "passed", refuted=s == "refuted") for e, s in zip(base, states, strict=True)]
    assert conclude(evidence)[0] is expected


def test_nothing_is_promoted_without_a_success_metric():
    """Guardrails alone hold, and so does no evidence at all."""
    assert conclude([RETAINED.measure(0.0, (-0.001, 0.001), 10)])[0] is VerdictKind.HOLD
    assert conclude([])[0] is VerdictKind.HOLD


def test_a_guardrail_without_margin_is_refused():
    """A margin of 0 would silently demand superiority."""
    with pytest.raises(ValueError, match="margin must be above 0"):
        Rule("retained", RuleKind.NON_INFERIOR)


def test_a_negative_margin_is_refused():
    """Of a success metric, too: with one a gain would be called harm."""
    with pytest.raises(ValueError, match="margin -0.1 is negative"):
        Rule("converted", RuleKind.SUPERIOR, margin=-0.1)
