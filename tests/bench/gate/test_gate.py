"""The promises hold in a small run. That the bench's experiments and watches are the gate's: `test_ramped`, `test_watched`."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bench.gate.judged import OPTED_OUT, shown, wait
from bench.gate.run import gate
from bench.gate.worlds import Sizes, entering, pooled, rates, week
from training.domain.nouns import RuleKind
from training.evaluation.cohorts import difference

SMALL = Sizes(400, 60, 2000)


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


def test_labels_are_waited_for_as_units_wait():
    """Retention 28 days; what follows a decision of the first 7 days 7 days more. What has no window can never be known."""
    assert [wait(metric) for metric in ("retained", "converted", "opted_out", "visited")] == [28, 21, 14, 14]
    with pytest.raises(ValueError, match="no window"):
        wait("laughed")


def test_the_promises_hold(capsys, tmp_path):
    """At 400 experiments: at the margin at most alpha (plus 3 standard errors), neutral at least 90%, the repeated z-test breaks, sequences cover."""
    assert gate(SMALL, 2, tmp_path, as_json=True) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert "8 of 8: sample ratio" in said.err
    assert set(found["false_promotion"]) == {"rate", "interval"}
    error = 3 * np.sqrt(0.05 * 0.95 / 400)
    assert found["false_promotion"]["rate"] < 0.05 + error
    assert found["false_pass_of_retention"]["rate"] < 0.05 + error
    assert found["neutral_pass"]["rate"] > 0.9
    assert found["neutral_pass"]["median_pairs"] < 25_000
    assert found["peeked_z_test_false_promotion"] > 0.2
    assert found["rollback"]["false_alarm"] < 0.05 + error
    assert found["rollback"]["median_days"] < 80
    assert found["rollback"]["by_harm"]["1 point each period"]["all"]["found"] > 0.9
    assert found["power_one_point"]["rate"] > 0.9
    assert found["harm_of_2_points"]["rate"] < 0.05
    assert all(part["held"] > 0.95 - error for part in found["coverage"].values())
    assert found["seasons"]["rising_pooled"] > 0.9
    assert found["seasons"]["rising"]["rate"] < 0.05 + 6 * error
    assert found["segments"]["one_harmed"]["rate"] < 0.05


def test_the_table_is_for_people(capsys, tmp_path):
    """Without --json: a line a measurement, and three pictures."""
    assert gate(Sizes(100, 60, 1000), 2, tmp_path, as_json=False) == 0
    said = capsys.readouterr().out
    assert "retention 0.5 points lower" in said
    assert "of those who come again" in said
    assert {p.name for p in tmp_path.iterdir()} == {"gate-peeking.svg", "gate-sequence.svg", "gate-watch.svg"}
