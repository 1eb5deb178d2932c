"""From an evaluation to evidence and a verdict."""

from __future__ import annotations

import json

import pytest

from training.config.settings import JudgingSettings
from training.domain.nouns import RuleKind, VerdictKind
from training.domain.rules import DEFAULT_RULES, Rule, conclude
from training.evaluation.evidence import UNKNOWN, evidence

LIMITS = JudgingSettings()


def metric(value, low, high, **support):
    """One metric of evaluation.json with good support unless said otherwise."""
    side = {"rows": 1000, "effective_sample_size": 900.0, "max_weight": 3.0, "max_weight_share": 0.003, "mean_weight": 1.0} | support
    estimate = {"dr": {"value": value, "interval": [low, high]}}
    level = {"dr": {"value": 0.1, "interval": [0.0, 0.2]}}
    return {
        "rows": 1000, "members": 100, "observed": 0.1, "binary": True, "challenger": level, "baseline": level, "difference": estimate,
        "support": {"challenger": side, "baseline": side},
    }  # fmt: skip


def good():
    """Converts more, loses nobody, annoys nobody, earns more."""
    return {
        "converted": metric(0.01, 0.005, 0.015),
        "retained": metric(0.0, -0.003, 0.003),
        "opted_out": metric(0.0, -0.001, 0.001),
        "dismissed": metric(0.0, -0.01, 0.01),
        "conversion_value": metric(1.5, 0.8, 2.2) | {"binary": False},
    }


def verdict(metrics):
    """The verdict by the default rules."""
    return conclude(evidence(metrics, DEFAULT_RULES, LIMITS))


def test_a_better_and_harmless_challenger_is_promoted():
    """All rules and all support pass."""
    assert verdict(good())[0] is VerdictKind.PROMOTE


def test_a_challenger_that_loses_members_is_rejected():
    """Retention wholly below its margin refutes, however well it converts."""
    kind, reason = verdict(good() | {"retained": metric(-0.02, -0.03, -0.01)})
    assert kind is VerdictKind.REJECT
    assert "retained" in reason


def test_opt_outs_are_turned_round():
    """More opt-outs are worse: +0.01 refutes and -0.01 passes."""
    assert verdict(good() | {"opted_out": metric(0.01, 0.005, 0.015)})[0] is VerdictKind.REJECT
    assert verdict(good() | {"opted_out": metric(-0.01, -0.015, -0.005)})[0] is VerdictKind.PROMOTE


def test_more_sales_of_less_worth_are_rejected():
    """Conversions rise while the money that members spend falls beyond its margin: revenue is a guardrail by default, and so are dismissals."""
    kind, reason = verdict(good() | {"conversion_value": metric(-1.0, -1.4, -0.6) | {"binary": False}})
    assert kind is VerdictKind.REJECT
    assert "conversion_value" in reason
    assert verdict(good() | {"dismissed": metric(0.05, 0.03, 0.07)})[0] is VerdictKind.REJECT


@pytest.mark.parametrize("missing", sorted(good()))
def test_a_metric_without_mature_rows_holds(missing):
    """It passes nothing and refutes nothing, and its numbers are finite."""
    found = evidence(good() | {missing: {"rows": 0}}, DEFAULT_RULES, LIMITS)
    assert conclude(found)[0] is VerdictKind.HOLD
    bare = next(e for e in found if e.name.startswith(missing))
    assert (bare.passed, bare.refuted, bare.note, bare.sample) == (False, False, "no mature rows", 0)
    json.dumps([bare.value, *bare.interval], allow_nan=False)


def test_a_wide_margin_does_not_pass_without_data():
    """A margin beyond the range of the reward would accept even [-1, 1]; without rows it does not."""
    rule = Rule("retained", RuleKind.NON_INFERIOR, margin=2.0)
    assert not evidence({"retained": {"rows": 0}}, [rule], LIMITS)[0].passed


def test_nothing_mature_at_all_holds():
    """Not even support can be shown."""
    found = evidence({name: {"rows": 0} for name in good()}, DEFAULT_RULES, LIMITS)
    assert conclude(found)[0] is VerdictKind.HOLD
    assert not any(e.passed for e in found)


@pytest.mark.parametrize("thin", [{"effective_sample_size": 499.0}, {"max_weight_share": 0.06}, {"mean_weight": 1.2}, {"mean_weight": 0.8}])
def test_thin_support_holds_and_never_refutes(thin):
    """A challenger that looks good on support that cannot carry it is held; nobody is rejected for it."""
    found = evidence(good() | {"retained": metric(0.0, -0.003, 0.003, **thin)}, DEFAULT_RULES, LIMITS)
    failed = [e for e in found if not e.passed]
    assert [e.kind for e in failed] == [RuleKind.SUPPORT]
    assert "retained" in failed[0].note
    assert conclude(found)[0] is VerdictKind.HOLD


def test_an_end_that_is_not_known_becomes_the_end_of_the_range():
    """null in the evaluation: a rate's difference cannot leave [-1, 1]; money has a large stand-in."""
    open_end = metric(0.01, None, None)
    assert evidence({"converted": open_end}, DEFAULT_RULES[:1], LIMITS)[0].interval == (-1.0, 1.0)
    assert evidence({"converted": open_end | {"binary": False}}, DEFAULT_RULES[:1], LIMITS)[0].interval == (-UNKNOWN, UNKNOWN)


def test_no_estimate_is_no_evidence():
    """A null value neither passes nor refutes."""
    found = evidence({"converted": metric(None, None, None)}, DEFAULT_RULES[:1], LIMITS)[0]
    assert (found.passed, found.refuted, found.note) == (False, False, "not estimable")
