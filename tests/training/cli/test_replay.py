"""`rightmatch replay` of decisions that no model took; those of a model are in `tests/serving`."""

from __future__ import annotations

import numpy as np
import pytest

from tests.fakes.commands import call
from tests.fakes.logs import EMAIL, served
from training.adapters.decision_log import DecisionLog
from training.config.settings import Settings
from training.domain.nouns import NONE
from training.domain.served import FALLBACK, Reason

NOBODYS = {"model_version": "", "posterior": 0}


@pytest.fixture(name="keep")
def _keep(tmp_path, monkeypatch):
    """Keeps decisions in the log of a home of its own, and ends."""
    monkeypatch.setenv("RIGHTMATCH_HOME", str(tmp_path))

    def keep(*ones):
        log = DecisionLog(Settings(home=tmp_path).log_url)
        with log.writing([one.asked.member_id for one in ones]) as writer:
            writer.append(ones)
        log.engine.dispose()

    return keep


def test_a_fallback_is_certain_by_definition(capsys, keep):
    """Taken again it is `none` with probability 1, in words and as JSON."""
    keep(served("1", arm=NONE, feasible=(NONE,), p=np.ones(1), group=FALLBACK, reason=Reason.STALE_FEATURES, **NOBODYS))
    said = "d-1: none out of 1 arms, the safe default, certain by definition (stale_features): equal to the bit."
    assert call(capsys, "replay", "d-1")[:2] == (0, said)
    code, found, _ = call(capsys, "replay", "d-1", "--json")
    assert (code, found["equal"], found["replayed_arm"], found["largest_difference"], found["model_version"]) == (0, True, NONE, 0.0, "")


def test_what_is_kept_otherwise_than_it_was_taken_is_not_equal(capsys, keep):
    """A decision of control with probabilities that are not alike, and an id that nobody knows."""
    keep(served("2", arm=EMAIL, group="control", reason=Reason.CONTROL, **NOBODYS))
    code, said, _ = call(capsys, "replay", "d-2")
    assert (code, "NOT equal" in said) == (1, True)
    code, _, wrong = call(capsys, "replay", "d-3")
    assert (code, "There is no decision 'd-3'" in wrong) == (1, True)
