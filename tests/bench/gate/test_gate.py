"""The bench's rule is the gate's rule, and the promises hold in a small run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.gate import scenarios
from bench.gate.judged import EFFECT, NEVER, OPTED_OUT, RETAINED, RULES, shown, verdicts
from bench.gate.run import gate
from bench.gate.worlds import Sizes, entering, pooled, rates, week
from training.domain.nouns import RuleKind, VerdictKind
from training.evaluation.assigned import assignment
from training.evaluation.cohorts import difference
from training.evaluation.looks import Measured, Role, look

FAIR = assignment([([1, 1], [0.5, 0.5])])
SMALL = Sizes(400, 60, 2000)


def test_the_arrays_say_what_a_look_says():
    """Of 3 experiments at 10 looks each, with members at once: every verdict is `look`'s, for good, harmful and unclear challengers."""
    rng, sizes = np.random.default_rng(3), Sizes(3, 40, 2000)
    kinds = set()
    for lift, harm in ((0.02, 0.01), (0.02, -0.02), (0.0, 0.0)):
        metrics = scenarios.challenger(rng, sizes, lift, harm)
        found = {r.metric: difference(*metrics[r.metric]) for r, _ in RULES}
        flags = {r.metric: shown(r, found[r.metric], distance=d) for r, d in RULES}
        for e in range(3):
            for day in range(0, 40, 4):
                members = (int(found["retained"].control[e, day]), int(found["retained"].treatment[e, day]))
                measured = [Measured(r, found[r.metric].value[e, day], found[r.metric].error[e, day], members, d) for r, d in RULES]
                verdict = look(measured, [FAIR], 0.05)
                assert [x.passed for x in verdict.evidence[:3]] == [bool(flags[r.metric].passed[e, day]) for r, _ in RULES]
                assert [x.refuted for x in verdict.evidence[:3]] == [bool(flags[r.metric].refuted[e, day]) for r, _ in RULES]
                kinds.add(verdict.kind)
    assert kinds == set(VerdictKind)


def test_a_segment_is_judged_as_a_look_judges_it():
    """The same numbers in both."""
    rng, sizes = np.random.default_rng(5), Sizes(40, 40, 300)
    found = difference(*rates(rng, sizes, entering(sizes), (0.95, 0.93)))
    flags = scenarios._part(found, 0.25, 1)
    for e in range(40):
        members = (int(found.control[e, -1]), int(found.treatment[e, -1]))
        part = Measured(RETAINED, found.value[e, -1], found.error[e, -1], members, role=Role.SEGMENT, share=0.25, where="new")
        evidence = look([part], [FAIR], 0.05).evidence[0]
        assert (evidence.passed, evidence.refuted) == (bool(flags.passed[e, -1]), bool(flags.refuted[e, -1]))


def test_the_first_of_promotion_and_rejection_counts():
    """Labels come late: nothing is decided before the slowest is mature, and nobody is both promoted and rejected."""
    rng = np.random.default_rng(4)
    promoted, rejected = verdicts(scenarios.challenger(rng, SMALL, 2 * EFFECT, 0.0), 88)
    assert promoted.min() > 28
    assert not ((promoted < NEVER) & (rejected < NEVER)).any()
    assert (promoted < NEVER).mean() > 0.7


def test_cohorts_and_pools():
    """A pool is the running sum; a week comes back."""
    pair = rates(np.random.default_rng(0), Sizes(2, 5, 100), entering(Sizes(2, 5, 100)), (0.5, 0.5))
    assert (pooled(pair)[0].y[:, -1, 0] == pair[0].y.sum(axis=1)).all()
    assert week(15, 0.3)[0] == pytest.approx(week(15, 0.3)[14])


def test_opt_outs_are_turned_round():
    """More opt-outs refute, fewer pass."""
    rng, sizes = np.random.default_rng(1), Sizes(5, 60, 4000)
    more, fewer = (shown(OPTED_OUT, difference(*rates(rng, sizes, entering(sizes), (0.02, 0.02 + d)))) for d in (0.01, -0.01))
    assert OPTED_OUT.kind is RuleKind.NON_INFERIOR
    assert more.refuted[:, -1].all()
    assert fewer.passed[:, -1].all()


def test_the_promises_hold(capsys, tmp_path):
    """At 400 experiments: at the margin at most alpha (plus 3 standard errors), neutral at least 90%, the repeated z-test breaks, sequences cover."""
    assert gate(SMALL, 2, tmp_path, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    error = 3 * np.sqrt(0.05 * 0.95 / 400)
    assert found["false_promotion"]["rate"] < 0.05 + error
    assert found["false_pass_of_retention"]["rate"] < 0.05 + error
    assert found["neutral_pass"]["rate"] > 0.9
    assert found["neutral_pass"]["median_pairs"] < 25_000
    assert found["peeked_z_test_false_promotion"] > 0.2
    assert found["rollback"]["false_alarm"] < 0.05 + error
    assert found["rollback"]["median_days"] < 60
    assert all(part["held"] > 0.95 - error for part in found["coverage"].values())
    assert found["seasons"]["ramp_with_drift"]["rising_pooled"] > 0.9
    assert found["segments"]["one_harmed"]["promoted"] < 0.05


def test_the_table_is_for_people(capsys, tmp_path):
    """Without --json: a line a measurement, and two pictures."""
    assert gate(Sizes(100, 60, 1000), 2, tmp_path, as_json=False) == 0
    said = capsys.readouterr().out
    assert "retention 0.5 points lower" in said
    assert {p.name for p in tmp_path.iterdir()} == {"gate-peeking.svg", "gate-sequence.svg"}
